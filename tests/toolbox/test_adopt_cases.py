"""Tables as people have them: what adopt must see in each, and what it must not."""

import json

import numpy as np
import pandas as pd
import pytest

from esteira.adopt import baseline
from esteira.adopt.detect import Asked, detect
from esteira.adopt.sniff import sniff
from esteira.line import table, validate
from esteira.line.errors import UserError

ROWS = 400
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.normal(size=ROWS).round(3)
ANSWER = np.where(NOISE + RANDOM.normal(size=ROWS) > 0.5, "SIM", "NÃO")
STATE = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def same_rows_in_any_order_of_tests() -> None:
    RANDOM.bit_generator.state = STATE


def adopted(path, target="y", **said):
    """What adopt decides of a file, without a project."""
    form = sniff(path).form
    return detect(table.read_raw(path, form), form, Asked(target, **said))


def written(folder, name="table.csv", /, sep=",", encoding="utf-8", **columns):
    """A file with these columns, a noisy feature `x` and a target `y`."""
    path = folder / name
    rows = pd.DataFrame({**columns, "x": NOISE, "y": ANSWER})
    rows.to_csv(path, sep=sep, index=False, encoding=encoding)
    return path


def said(found, words):
    return [d for d in found.decisions if words in f"{d.what}: {d.evidence}"]


def read_again(path, found):
    """The table as the line and every later batch will be read."""
    return table.parse(table.read_batch(path, found.schema), found.schema)


def codes(low, high):
    return RANDOM.choice(np.arange(low, high), ROWS, replace=False)


# --- identifiers, equal columns, stars, times of day


def test_unique_codes_in_no_order_are_identifiers(tmp_path):
    found = adopted(written(tmp_path, lote=codes(39_000, 43_000)))
    assert found.schema.columns["lote"].role == "identifier"
    assert "unique codes in no order" in said(found, "`lote`")[0].evidence


def test_long_codes_are_identifiers_however_far_apart_they_lie(tmp_path):
    found = adopted(written(tmp_path, registro=codes(10_000_000, 99_999_999)))
    assert found.schema.columns["registro"].role == "identifier"


def test_amounts_that_happen_to_differ_stay_features(tmp_path):
    amounts = codes(100, 900_000)
    rising = np.arange(ROWS) * 7 + np.arange(ROWS) % 3
    found = adopted(written(tmp_path, renda=amounts, medida=rising))
    assert {"renda", "medida"} <= set(found.schema.features)


def test_a_column_equal_to_another_is_put_aside_and_told(tmp_path):
    code, size = codes(39_000, 43_000), RANDOM.normal(size=ROWS).round(2)
    town = RANDOM.choice(["Recife", "Natal"], ROWS)
    found = adopted(
        written(tmp_path, codigo=code, codigo2=code, m=size, m_2=size, uf=town, cidade=town)
    )
    roles = {name: found.schema.columns[name].role for name in found.schema.columns}
    assert roles["codigo"] == roles["codigo2"] == "identifier"
    assert (roles["m"], roles["m_2"]) == (roles["uf"], roles["cidade"]) == ("feature", "ignored")
    for name, other in (("codigo2", "codigo"), ("m_2", "m"), ("cidade", "uf")):
        (decision,) = said(found, f"`{name}`: {roles[name]}")
        assert f"equal to `{other}`" in decision.evidence


@pytest.mark.parametrize("token", ["***", "*", "#####", "XXXX", "#N/A", "Não informado"])
def test_cells_that_hide_their_value_are_missing(tmp_path, token):
    found = adopted(written(tmp_path, uf=RANDOM.choice(["RJ", "SP", token], ROWS)))
    assert token in found.schema.file.missing
    assert found.schema.columns["uf"].allowed == ("RJ", "SP")


def test_stars_that_rate_are_values(tmp_path):
    found = adopted(written(tmp_path, nota=RANDOM.choice(["*", "**", "***"], ROWS)))
    assert found.schema.columns["nota"].allowed == ("*", "**", "***")


@pytest.mark.parametrize(
    ("form", "clock"),
    [
        ("%H:%M:%S", "%H:%M:%S"),
        ("%H:%M", "%H:%M"),
        ("%H.%M.%S", "%H.%M.%S"),
        ("%I:%M %p", "%I:%M %p"),
        ("%Hh%M", "%Hh%M"),
    ],
)
def test_a_time_of_day_is_a_number_of_hours(tmp_path, form, clock):
    moments = pd.to_datetime(RANDOM.integers(0, 24 * 60, ROWS), unit="m")
    path = written(tmp_path, hora=moments.strftime(form))
    found = adopted(path)
    column = found.schema.columns["hora"]
    assert (column.type, column.format, column.max) == ("number", clock, 24)
    assert said(found, "`hora`: time of day")
    typed, rejects = read_again(path, found)
    assert rejects.empty
    hours = moments.hour + moments.minute / 60
    np.testing.assert_allclose(typed["hora"], hours)


def test_ratios_and_versions_are_no_times_of_day(tmp_path):
    found = adopted(
        written(
            tmp_path,
            placar=RANDOM.choice(["3:1", "30:10", "2:2"], ROWS),
            versao=RANDOM.choice(["1.0.0", "1.2.11"], ROWS),
        )
    )
    assert found.schema.columns["placar"].type == "category"
    assert found.schema.columns["versao"].type == "category"


# --- groups


def grouped(names, sizes, **more):
    """Rows of groups whose target never differs within one; `x` is alike within one too."""
    groups = np.repeat(names, sizes)
    label = np.repeat(RANDOM.choice(["well", "sick"], len(names)), sizes)
    level = np.repeat(RANDOM.normal(size=len(names)), sizes)
    x = (level + 0.1 * RANDOM.normal(size=len(groups))).round(3)
    columns = {name: np.repeat(values, sizes) for name, values in more.items()}
    return pd.DataFrame({"group": groups, **columns, "x": x, "y": label})


@pytest.mark.parametrize(
    ("name", "values", "sizes"),
    [
        ("patient", np.arange(140), 3),
        ("household", [f"h{k:03}" for k in range(140)], RANDOM.integers(2, 6, 140)),
        ("subject_id", np.arange(30) + 100, 14),
        ("quadra", [f"q{k}" for k in RANDOM.permutation(140)], 3),
    ],
)
def test_groups_of_rows_with_one_target_are_held_out_whole(tmp_path, name, values, sizes):
    rows = grouped(values, sizes).rename(columns={"group": name})
    path = tmp_path / "t.csv"
    for order in (rows, rows.sample(frac=1, random_state=0)):
        order.to_csv(path, index=False)
        found = adopted(path)
        assert found.group == name
        assert name not in found.schema.features
        (decision,) = said(found, "whole groups are held out")
        assert "constant within each" in decision.evidence
        assert "split.group: null" in decision.where


def test_the_evidence_says_how_often_a_group_comes(tmp_path):
    grouped(np.arange(140), 3).rename(columns={"group": "patient"}).to_csv(
        tmp_path / "t.csv", index=False
    )
    (decision,) = said(adopted(tmp_path / "t.csv"), "`patient`")
    assert "values come 3 times, and `y` is constant within each" in decision.evidence


def test_a_number_that_never_differs_within_a_group_counts_too(tmp_path):
    rows = grouped(np.arange(140), 3).rename(columns={"group": "lote"})
    rows["y"] = np.repeat(RANDOM.normal(size=140).round(3), 3)
    rows.to_csv(tmp_path / "t.csv", index=False)
    assert adopted(tmp_path / "t.csv").group == "lote"


def test_a_wrong_label_hides_no_groups(tmp_path):
    rows = grouped(np.arange(140), 3).rename(columns={"group": "patient"})
    rows.loc[7, "y"] = "sick" if rows.loc[7, "y"] == "well" else "well"
    rows.to_csv(tmp_path / "t.csv", index=False)
    found = adopted(tmp_path / "t.csv")
    assert found.group == "patient"
    assert said(found, "constant within 139 of 140")


def test_what_repeats_without_telling_the_target_is_no_group(tmp_path):
    found = adopted(
        written(
            tmp_path,
            town=RANDOM.choice([f"town {k}" for k in range(130)], ROWS),
            age=RANDOM.integers(18, 90, ROWS),
        )
    )
    assert found.group is None
    assert {"town", "age"} <= set(found.schema.features)


def test_a_rare_class_makes_no_groups(tmp_path):
    """Nearly every value has one class by chance, where nearly every row has it."""
    rows = pd.DataFrame({"shop": np.repeat(np.arange(200), 2), "x": NOISE})
    rows["y"] = np.where(np.arange(ROWS) % 80 == 0, "yes", "no")
    rows.to_csv(tmp_path / "t.csv", index=False)
    assert adopted(tmp_path / "t.csv").group is None


def test_a_number_that_decides_the_target_is_a_leak_and_no_group(tmp_path):
    age = RANDOM.integers(1, 90, ROWS)
    rows = pd.DataFrame({"age": age, "x": NOISE, "y": np.where(age >= 45, "old", "young")})
    rows.to_csv(tmp_path / "t.csv", index=False)
    found = adopted(tmp_path / "t.csv")
    assert found.group is None
    assert said(found, "leak: `age`") or said(found, "LEAK: `age`"), "suspected, or certain"


def test_a_name_alone_is_told_and_sets_nothing(tmp_path):
    found = adopted(written(tmp_path, customer=np.repeat(np.arange(100), 4)))
    assert found.group is None
    assert "customer" in found.schema.features
    (decision,) = said(found, "rows may belong together")
    assert "write group: customer" in decision.evidence


# --- sentinels before leaks


def test_rows_just_told_as_sentinels_make_no_leak(tmp_path):
    base = RANDOM.normal(size=ROWS)
    rows = pd.DataFrame(
        {
            "T": (18 + 5 * RANDOM.normal(size=ROWS)).round(1),
            "RH": (50 + 9 * RANDOM.normal(size=ROWS)).round(1),
            "benzene": (10 + 3 * base).round(1).clip(0.1),
        }
    )
    rows.loc[::20] = -200.0
    rows.to_csv(tmp_path / "t.csv", index=False)
    found = adopted(tmp_path / "t.csv", "benzene")
    assert len(said(found, "-200.0 is kept as a number")) == 3
    assert not said(found, "leak")
    assert set(found.schema.features) == {"T", "RH"}


def test_a_real_leak_beside_sentinels_is_still_told(tmp_path):
    benzene = (10 + RANDOM.normal(size=ROWS)).round(2)
    rows = pd.DataFrame({"x": NOISE, "copy": benzene * 2, "benzene": benzene})
    rows.loc[::20] = -200.0
    rows.to_csv(tmp_path / "t.csv", index=False)
    assert said(adopted(tmp_path / "t.csv", "benzene"), "LEAK: `copy`")


# --- titles above, notes below

BODY = "".join(
    f"{town};{k};{k % 15},{k % 10}%;{k % 9 + 1}.{k % 900 + 100},45\n"
    for k, town in enumerate(["Recife", "Natal", "Belém", "Recife"] * 25)
)
HEADER = "Município;Área m²;Taxa;Valor\n"


@pytest.mark.parametrize(
    ("above", "lines"),
    [
        ("Relatório de vendas - 2024\n", 1),
        ("Relatório de vendas - 2024;;;\n;;;\n", 2),
        ("Relatório de vendas\n\nFonte: IBGE; 2024\n\n", 4),
        ('"Relatório ""de""\nvendas"\n', 2),
        ("# made on 2024-01-31\r\n# by a machine\r\n", 2),
        (";;2024;\n", 1),
    ],
)
def test_lines_above_the_header_are_skipped_and_told(tmp_path, above, lines):
    path = tmp_path / "t.csv"
    path.write_bytes((above + HEADER + BODY).encode("latin-1"))
    sniffed = sniff(path)
    assert sniffed.form.skip == lines
    assert [d for d in sniffed.decisions if "title above the header" in d.what]
    found = adopted(path, "Valor")
    assert list(found.schema.columns) == ["Município", "Área m²", "Taxa", "Valor"]
    typed, rejects = read_again(path, found)
    assert (len(typed), len(rejects)) == (100, 0)


@pytest.mark.parametrize("sep", [",", "\t", "|"])
def test_a_title_is_seen_with_every_delimiter(tmp_path, sep):
    path = written(tmp_path, sep=sep, n=RANDOM.integers(0, 99, ROWS))
    path.write_text(f"Sales 2024\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
    assert sniff(path).form.skip == 1
    assert list(adopted(path).schema.columns) == ["n", "x", "y"]


def test_a_title_above_years_as_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Sales\ntown,2019,2020,y\n" + "Rome,1,2,yes\nOslo,3,4,no\n" * 50)
    assert sniff(path).form.skip == 1


@pytest.mark.parametrize(
    "text",
    [
        "a,b,c\n" + "1,2,3\n" * 9,
        ",a,b\n" + "1,2,3\n" * 9,
        "a,b\n" + "1,2,\n" * 9,
        "a;b;;\n" + "1;2;;\n" * 9,
        "a,b\n" + "1,2,3,4\n" * 9,
        "one\n" + "1\n" * 9,
    ],
)
def test_a_header_is_no_title(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert sniff(path).form.skip == 0


def test_the_line_of_a_fault_is_counted_from_the_top_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("Sales\na,b,c\n" + "1,2,x\n" * 9 + "1,2,x,4\n")
    with pytest.raises(UserError, match="line 12 has 4 cells where 3"):
        table.read_raw(path, sniff(path).form)


def test_notes_and_totals_below_the_table_are_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + BODY + "Total;;;9.999,45\n\nFonte: IBGE\n", encoding="utf-8")
    found = adopted(path, "Valor")
    assert found.schema.columns["Município"].allowed == ("Belém", "Natal", "Recife")
    (decision,) = said(found, "below the table")
    assert decision.warning
    assert decision.where == "schema.yaml, file.footer"
    assert len(read_again(path, found)[0]) == 100
    batch = tmp_path / "batch.csv"
    batch.write_text(HEADER + BODY, encoding="utf-8")
    assert len(read_again(batch, found)[0]) == 100, "a batch without notes loses no row"


def test_a_table_with_many_gaps_has_no_notes_below(tmp_path):
    gaps = "Natal;;;\n"
    path = tmp_path / "t.csv"
    path.write_text(HEADER + (BODY + gaps * 3) * 2 + gaps, encoding="utf-8")
    assert adopted(path, "Valor").schema.file.footer == 0


# --- units


@pytest.mark.parametrize(
    ("cell", "value", "unit"),
    [
        ("R$ {}.308,45", 308.45, "R$"),
        ("R${}.308,45", 308.45, "R$"),
        ("{}.308,45 €", 308.45, "€"),
        ("€ {}.308,45", 308.45, "€"),
        ("US$ {}.308,45", 308.45, "US$"),
        ("EUR {}.308,45", 308.45, "EUR"),
        ("{}.308,45 BRL", 308.45, "BRL"),
        ("{}.308,45%", 308.45, "%"),
        ("{}.308,45 %", 308.45, "%"),
        ("{}.308,45 kg", 308.45, "kg"),
        ("R$\xa0{}.308,45", 308.45, "R$"),
    ],
)
def test_units_before_or_behind_are_read(tmp_path, cell, value, unit):
    thousands = RANDOM.integers(1, 99, ROWS)
    path = written(tmp_path, sep=";", preco=[cell.format(t) for t in thousands])
    found = adopted(path)
    column = found.schema.columns["preco"]
    assert (column.type, column.unit, column.role) == ("number", unit, "feature")
    assert (column.decimal, column.thousands) == (",", "."), "`x` has points"
    assert said(found, f"`preco`: number in {unit}")
    typed, rejects = read_again(path, found)
    assert rejects.empty
    np.testing.assert_allclose(typed["preco"], 1000 * thousands + value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("$1,234.50", 1234.5), ("-$1,234.50", -1234.5), ("$ -7", -7), ("($1,000)", -1000), ("12", 12)],
)
def test_signs_and_brackets_of_amounts(tmp_path, cell, value):
    cells = [f"${k},{k % 900 + 100}.25" for k in range(1, ROWS)]
    path = written(tmp_path, sep=";", amount=[cell, *cells])
    found = adopted(path)
    typed, _ = read_again(path, found)
    assert found.schema.columns["amount"].unit == "$"
    assert typed["amount"][0] == value


def test_a_target_with_a_unit_is_regression_in_that_unit(tmp_path):
    path = tmp_path / "t.csv"
    prices = [f"R$ {k}.{k % 900 + 100},45" for k in range(1, ROWS + 1)]
    pd.DataFrame({"x": NOISE, "Valor": prices}).to_csv(path, index=False, sep=";")
    found = adopted(path, "Valor")
    assert (found.schema.task, found.schema.columns["Valor"].unit) == ("regression", "R$")
    assert said(found, "regression of `Valor`")[0].evidence.endswith("R$")
    assert validate.check(table.read_batch(path, found.schema), found.schema)[1].empty


def test_the_marks_of_the_file_hold_for_units_too(tmp_path):
    path = tmp_path / "t.csv"
    rows = pd.DataFrame({"x": NOISE, "share": NOISE * 10, "y": ANSWER}).round(2)
    rows["share"] = [f"{value:.2f}%".replace(".", ",") for value in rows["share"]]
    rows.to_csv(path, index=False, sep=";", decimal=",")
    found = adopted(path)
    assert found.schema.file.decimal == ","
    assert found.schema.columns["share"].decimal is None
    np.testing.assert_allclose(read_again(path, found)[0]["share"], (NOISE * 10).round(2))


def test_a_batch_in_another_currency_is_a_fault(tmp_path):
    cells = [f"{k},50" for k in range(ROWS)]
    found = adopted(written(tmp_path, sep=";", preco=[f"R$ {cell}" for cell in cells]))
    batch = written(tmp_path, "batch.csv", sep=";", preco=[f"€ {cell}" for cell in cells])
    faults = validate.check(table.read_batch(batch, found.schema), found.schema)[1]
    assert (faults["rule"] == "type number").sum() == ROWS


def test_two_currencies_in_one_column_are_told(tmp_path):
    cells = [f"{RANDOM.choice(['R$', 'US$'])} {k},50" for k in range(ROWS)]
    found = adopted(written(tmp_path, sep=";", preco=cells))
    assert found.schema.columns["preco"].role == "ignored"
    assert said(found, "numbers in R$, US$")[0].warning


def test_codes_of_letters_and_digits_have_no_unit(tmp_path):
    found = adopted(
        written(
            tmp_path,
            bloco=[f"{k % 60}{'ABC'[k % 3]}" for k in range(ROWS)],
            sala=[f"A{k % 40}" for k in range(ROWS)],
            turno=RANDOM.choice(["1a", "2a", "3a"], ROWS),
        )
    )
    assert all(found.schema.columns[name].unit is None for name in ("bloco", "sala", "turno"))
    assert {"bloco", "sala", "turno"} <= set(found.schema.features)


# --- nested objects, lists, nameless columns


def people():
    for k in range(ROWS):
        account = {"tenure": k % 70, "plan": {"fee": k % 9 + 0.5}}
        yield {
            "account": account if k % 7 else None,
            "tags": ["web", "shop"][: 1 + k % 2],
            "x": float(NOISE[k]),
            "y": str(ANSWER[k]),
        }


@pytest.mark.parametrize("kind", ["lines", "list", "parquet"])
def test_objects_become_columns_and_lists_are_told(tmp_path, kind):
    rows = list(people())
    if kind == "lines":
        path = tmp_path / "t.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "list":
        path = tmp_path / "t.json"
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    else:
        path = tmp_path / "t.parquet"
        pd.DataFrame(rows).to_parquet(path)
    found = adopted(path)
    assert list(found.schema.columns) == ["account.tenure", "account.plan.fee", "tags", "x", "y"]
    assert found.schema.features == ["account.tenure", "account.plan.fee", "x"]
    assert found.schema.columns["account.tenure"].missing
    (decision,) = said(found, "`tags`")
    assert "lists, as" in decision.evidence
    typed, rejects = read_again(path, found)
    assert rejects.empty
    assert typed["account.plan.fee"].dropna().between(0.5, 8.5).all()


def test_an_object_with_other_keys_in_each_row_is_told_and_makes_no_columns(tmp_path):
    path = tmp_path / "t.jsonl"
    rows = [
        {"seen": {f"{k}-{i}": i for i in range(3)}, "x": float(NOISE[k]), "y": str(ANSWER[k])}
        for k in range(ROWS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = adopted(path)
    assert list(found.schema.columns) == ["seen", "x", "y"]
    assert "objects, as" in said(found, "`seen`")[0].evidence


def test_json_too_deep_is_refused_in_a_sentence(tmp_path):
    path = tmp_path / "t.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(UserError, match="cannot be read as jsonl"):
        table.read_raw(path, sniff(path).form)


def test_a_nearly_empty_column_without_a_name_is_put_aside(tmp_path):
    path = written(tmp_path, **{"": [None] * (ROWS - 2) + ["a note", "another"]})
    found = adopted(path)
    (decision,) = said(found, "it has no name, and 2 of 400 cells")
    assert decision.where == "schema.yaml, columns.Unnamed: 0"
    assert found.schema.features == ["x"]


# --- the algorithm


def scored(area, loss):
    return {"roc_auc": area, "log_loss": loss}


@pytest.mark.parametrize(
    ("linear", "boosting", "worth_it"),
    [
        (scored(0.80, 0.50), scored(0.83, 0.52), True),
        (scored(0.80, 0.50), scored(0.80, 0.30), False),
        (scored(0.995, 0.20), scored(0.996, 0.05), True),
        (scored(0.999, 0.05), scored(0.9999, 0.049), False),
        (scored(0.999, 0.05), scored(0.995, 0.20), False),
        (scored(0.30, 0.90), scored(0.45, 0.80), False),
    ],
)
def test_log_loss_decides_where_auc_is_saturated(linear, boosting, worth_it):
    scores = {"linear": linear, "boosting": boosting}
    assert baseline.worth_it(scores, "linear") is worth_it
