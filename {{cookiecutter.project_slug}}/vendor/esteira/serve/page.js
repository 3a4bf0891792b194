"use strict";
const form = document.getElementById("row");
const answer = document.getElementById("answer");

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function digits(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value ?? "–");
}

function filledIn() {
  const row = {};
  for (const input of form.querySelectorAll("[name]")) {
    const text = input.value.trim();
    if (text === "") continue;
    row[input.name] = input.dataset.kind === "number" ? Number(text) : text;
  }
  return row;
}

function show(faults) {
  let first = null;
  for (const input of form.querySelectorAll("[name]")) {
    const found = faults.filter((fault) => fault.field === input.name);
    const hint = document.getElementById(input.getAttribute("aria-describedby"));
    input.toggleAttribute("aria-invalid", false);
    hint.className = found.length ? "problem" : "";
    hint.textContent = found.length ? found.map((fault) => fault.problem).join("; ") : hint.dataset.hint;
    if (found.length) {
      input.setAttribute("aria-invalid", "true");
      first = first ?? input;
    }
  }
  if (first) first.focus();
}

function refuse(text) {
  answer.replaceChildren(element("p", text, "problem"));
}

function tell(explained) {
  const parts = [element("p", digits(explained.answer.prediction), "said")];
  if (explained.answer.probabilities) {
    const table = element("table");
    for (const [name, value] of Object.entries(explained.answer.probabilities)) {
      const line = element("tr");
      const meter = element("meter");
      meter.max = 1;
      meter.value = value;
      const cell = element("td");
      cell.append(meter);
      meter.setAttribute("aria-label", `probability of ${name}`);
      line.append(element("th", name), cell, element("td", `${(100 * value).toFixed(1)} %`, "number"));
      table.append(line);
    }
    parts.push(table);
  }
  const moved = explained.moved.filter((each) => each.difference !== 0).slice(0, 10);
  if (moved.length) {
    parts.push(element("h3", "What moved it"));
    parts.push(element("p", `How much ${explained.of} is higher or lower than with the input's usual value, everything else as it is.`, "quiet"));
    const table = element("table");
    const head = element("tr");
    head.append(element("th", "Input"), element("th", "Usual"), element("th", "Now"), element("th", "Difference", "number"));
    table.append(head);
    for (const each of moved) {
      const line = element("tr");
      const sign = each.difference > 0 ? "▲ +" : "▼ −";
      line.append(
        element("td", each.input), element("td", digits(each.usual)), element("td", digits(each.value)),
        element("td", sign + digits(Math.abs(each.difference)), "number " + (each.difference > 0 ? "up" : "down")),
      );
      table.append(line);
    }
    parts.push(table);
  } else {
    parts.push(element("p", "Every input has its usual value, or none of them moves this answer.", "quiet"));
  }
  answer.replaceChildren(...parts);
}

async function ask() {
  const body = JSON.stringify(filledIn());
  const headers = { "Content-Type": "application/json" };
  try {
    const response = await fetch("/explain", { method: "POST", headers, body });
    const said = await response.json();
    show(said.faults ?? []);
    if (response.ok) tell(said);
    else refuse(said.error);
  } catch {
    refuse("The service does not answer.");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
