"""Which rows are held out is a property of the row: new rows never move old ones."""

import numpy as np
import pandas as pd
import pytest

from esteira.line import holdout, parts, schema
from esteira.line.errors import UserError

COLUMNS = {
    "code": {"type": "text", "role": "identifier"},
    "when": {"type": "datetime", "role": "ignored"},
    "x": {"type": "number"},
    "town": {"type": "category", "missing": True},
    "left": {"type": "category", "role": "target"},
}
SETTINGS = holdout.Settings(current=0.15, order="rows", holdout=0.25, shuffle=True, seed=42)


def told(*leave_out: str, **roles: str) -> schema.Schema:
    """The schema, some columns left out, some in other roles."""
    columns = {n: c | ({"role": roles[n]} if n in roles else {}) for n, c in COLUMNS.items()}
    kept = {name: column for name, column in columns.items() if name not in leave_out}
    return schema.Schema.model_validate({"task": "classification", "columns": kept})


def rows(count: int = 400, start: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(start)
    return pd.DataFrame(
        {
            "code": [f"c{start + i}" for i in range(count)],
            "when": pd.date_range("2024-01-01", periods=count + start, freq="h", unit="us")[start:],
            "x": random.normal(size=count),
            "town": pd.Series(random.choice(["Rome", "Évora", None], count), dtype="str"),
            "left": pd.Series(random.choice(["no", "yes"], count), dtype="str"),
        }
    )


def sides(found: holdout.Split) -> dict[int, str]:
    return dict(zip(found.keys.tolist(), found.parts.tolist(), strict=True))


def changing(**settings: object) -> holdout.Settings:
    return holdout.Settings(**(SETTINGS.model_dump() | settings))


class TestKeys:
    def test_are_these_on_every_platform(self) -> None:
        cells = pd.DataFrame({"b": [1.5, np.nan], "a": ["é", None]})
        cells["t"] = pd.to_datetime(["2024-02-29 12:00", None]).astype("datetime64[us]")
        assert holdout.keys(cells, ["b", "a", "t"]).tolist() == [
            6467145355057603298,
            7312531679225895957,
        ]
        assert holdout.draws(np.array([1, 2], dtype=np.uint64), 42, "holdout").tolist() == [
            0.5888351606300473,
            0.5121383064524541,
        ]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
            (pd.Series([0.0, -0.0]), pd.Series([-0.0, 0.0])),
            (pd.Series(["a", "b"], dtype="str"), pd.Series(["a", "b"], dtype=object)),
            (pd.Series(["a", "b"], dtype="category"), pd.Series(["a", "b"], dtype="str")),
            (pd.Series([None, None], dtype="str"), pd.Series([np.nan, np.nan])),
            (pd.Series([1, None], dtype="Int64"), pd.Series([1.0, np.nan])),
            (
                pd.Series(pd.to_datetime(["2024-01-01"])).astype("datetime64[ns]"),
                pd.Series(pd.to_datetime(["2024-01-01"])).astype("datetime64[us]"),
            ),
        ],
    )
    def test_do_not_depend_on_the_dtype(self, one: pd.Series, other: pd.Series) -> None:
        first, second = (holdout.keys(pd.DataFrame({"a": v}), ["a"]) for v in (one, other))
        assert first.tolist() == second.tolist()

    def test_nor_on_the_order_of_columns_and_rows(self) -> None:
        table = rows()
        names = list(table)
        first = holdout.keys(table, names)
        assert (holdout.keys(table[names[::-1]], names[::-1]) == first).all()
        assert (holdout.keys(table.iloc[::-1], names) == first[::-1]).all()
        assert len(set(first.tolist())) == len(table)

    def test_cells_do_not_run_together(self) -> None:
        one = pd.DataFrame({"a": ["ab", "a"], "b": ["c", "bc"]})
        first, second = holdout.keys(one, ["a", "b"]).tolist()
        assert first != second

    @pytest.mark.parametrize("at_once", [1, 4, 10_000])
    def test_of_identifiers_that_repeat_are_told_apart_by_content(
        self, monkeypatch: pytest.MonkeyPatch, at_once: int
    ) -> None:
        monkeypatch.setattr(parts, "ROWS", at_once)
        table = rows(6)
        table["code"] = ["a", "a", "b", None, None, "c"]
        looked = holdout.look([table], told())
        named, single = looked.named, holdout.distinct(looked)
        assert named[0] == named[1]
        assert len(set(single.tolist())) == 6
        assert named[[2, 5]].tolist() == single[[2, 5]].tolist()


class TestSplit:
    @pytest.mark.parametrize(
        ("what", "settings"),
        [
            (told(), SETTINGS),
            (told("code"), SETTINGS),
            (told("code"), changing(order="random")),
            (told(when="time"), SETTINGS),
            (told(), changing(group="town")),
            (told(), changing(current=0.0)),
        ],
        ids=["identifier", "content", "random order", "time", "group", "no batch"],
    )
    def test_new_rows_move_no_old_row_to_the_other_side(
        self, what: schema.Schema, settings: holdout.Settings
    ) -> None:
        old, new = rows(), rows(250, start=400)
        before = sides(holdout.split(old, what, settings))
        after = sides(holdout.split(pd.concat([old, new], ignore_index=True), what, settings))
        moved = {(side, after[key]) for key, side in before.items() if side != after[key]}
        assert moved <= {("current", "train"), ("current", "holdout")}
        if settings.order == "random":
            assert not moved
        assert set(before.values()) - {"current"} == {"train", "holdout"}

    def test_removing_or_shuffling_rows_moves_none_either(self) -> None:
        settings = changing(order="random")
        before = sides(holdout.split(rows(), told(), settings))
        some = rows().sample(150, random_state=3)
        assert sides(holdout.split(some, told(), settings)).items() <= before.items()

    def test_the_shares_are_as_asked(self) -> None:
        found = holdout.split(rows(4000), told("code"), SETTINGS)
        assert len(found.part("current")) == 600
        assert len(found.part("holdout")) / 3400 == pytest.approx(0.25, abs=0.03)
        assert found.remarks == ()

    def test_another_seed_holds_out_other_rows(self) -> None:
        one, other = (holdout.split(rows(), told(), changing(seed=s)) for s in (1, 2))
        both = (one.parts == "holdout") & (other.parts == "holdout")
        assert 0 < both.sum() < (one.parts == "holdout").sum() / 2

    def test_equal_rows_land_on_one_side(self) -> None:
        twice = pd.concat([rows(), rows()], ignore_index=True)
        found = holdout.split(twice, told("code"), changing(current=0.0))
        assert (found.parts[:400] == found.parts[400:]).all()

    def test_a_role_that_changes_moves_no_row(self) -> None:
        one = holdout.split(rows(), told("code"), SETTINGS)
        other = holdout.split(rows(), told("code", town="ignored"), SETTINGS)
        assert (one.parts == other.parts).all()

    def test_a_group_is_held_out_whole(self) -> None:
        table = rows(600).assign(code=[f"p{i // 3}" for i in range(600)])
        what = told(code="ignored")
        found = holdout.split(table, what, changing(group="code", current=0.0))
        parts = pd.Series(found.parts).groupby(table["code"].to_numpy()).nunique()
        assert (parts == 1).all()
        assert len(found.part("holdout")) / 600 == pytest.approx(0.25, abs=0.08)
        newest = holdout.split(table, what, changing(group="code", current=0.0, shuffle=False))
        assert (newest.parts == found.parts).all(), "a group goes before the order"

    def test_a_group_that_is_no_column_is_refused(self) -> None:
        with pytest.raises(UserError, match=r"`split.group` of params.yaml names 'patient'"):
            holdout.split(rows(), told(), changing(group="patient"))

    def test_by_time_the_newest_are_held_out(self) -> None:
        what, settings = told(when="time"), changing(shuffle=False)
        shuffled = rows().sample(frac=1, random_state=1)
        found = holdout.split(shuffled, what, settings)
        last = {name: found.part(name)["when"].max() for name in ("train", "holdout")}
        assert last["train"] < found.part("holdout")["when"].min()
        assert last["holdout"] < found.part("current")["when"].min()
        assert [len(found.part(n)) for n in ("train", "holdout", "current")] == [255, 85, 60]

    def test_rows_of_one_moment_stay_together(self) -> None:
        table = rows(240)
        table["when"] = table["when"].dt.floor("D")
        found = holdout.split(table, told(when="time"), changing(shuffle=False))
        days = [set(found.part(name)["when"]) for name in ("train", "holdout", "current")]
        assert [len(d) for d in days] == [6, 2, 2]
        assert not days[0] & days[1]
        assert not days[1] & days[2]

    def test_a_time_that_is_the_same_in_all_rows_is_refused(self) -> None:
        table = rows(100).assign(when=pd.Timestamp("2024-01-01"))
        with pytest.raises(UserError, match="`when` is the same in all 100 rows"):
            holdout.split(table, told(when="time"), changing(shuffle=False))

    def test_a_class_of_few_rows_is_on_both_sides_and_told(self) -> None:
        table = rows(60)
        remarked = 0
        for seed in range(40):
            rare = table.copy()
            rare.loc[[5, 20, 35, 50], "left"] = "moved"
            found = holdout.split(rare, told("code"), changing(current=0.0, seed=seed))
            assert "moved" in set(found.part("train")["left"])
            assert "moved" in set(found.part("holdout")["left"])
            remarked += any("class 'moved'" in remark for remark in found.remarks)
        assert 8 < remarked < 40, "all four on one side by chance, or unevenly: 32 % and more"

    def test_a_class_of_one_row_is_trained_on(self) -> None:
        for seed in range(10):
            table = rows(60)
            table.loc[7, "left"] = "moved"
            found = holdout.split(table, told("code"), changing(current=0.0, seed=seed))
            assert "moved" in set(found.part("train")["left"])

    def test_parts_are_written_and_read(self, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        found = holdout.decide(holdout.look([rows()], told()), told(), SETTINGS)
        holdout.write(found)
        first = holdout.PARTS.read_bytes()
        holdout.write(found)
        assert holdout.PARTS.read_bytes() == first
        held = holdout.part_keys("holdout")
        assert held.dtype == np.uint64
        assert (held == found.keys[found.are("holdout")]).all()
