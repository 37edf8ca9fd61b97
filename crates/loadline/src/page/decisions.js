// The last decisions, and what would become of such a request now. Paths come from clients: they are only ever written as
// text.

import { millis, pathForQuery } from "./words.js";

const EVERY_MS = 2_000;
const SHOWN = 50;

const $ = (id) => document.getElementById(id);
const list = $("decisions");
let latest = [];
let serial = 0;

function cell(text, name = "") {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}

// The decision's kind, for colour and sign, and its words.
function outcome(one) {
  if (one.client_left) return ["left", "○", `client left (${one.client_left})`];
  if (one.decision === "shed") return ["rejected", "▲", one.reason];
  if (one.decision === "would_shed") return ["would", "△", `would: ${one.reason}`];
  if (one.reason || one.status >= 500) return ["rejected", "✕", one.reason ?? "failed"];
  if (one.decision === "queued") return ["waited", "≡", "waited"];
  return ["served", "✓", one.decision === "bypass" ? "passed by" : "admitted"];
}

const isBad = (one) => !["served", "waited"].includes(outcome(one)[0]);

function row(one) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "decision";
  button.setAttribute("aria-expanded", "false");
  const [kind, sign, words] = outcome(one);
  const what = cell("", `outcome ${kind}`);
  const glyph = cell(sign, "sign");
  glyph.setAttribute("aria-hidden", "true");
  what.append(glyph, cell(words));
  const request = cell("", "request");
  request.append(cell(one.method === "_OTHER" ? "other" : one.method, "method"), cell(one.path, "path"));
  request.title = one.path;
  const time = new Date(one.time);
  const told = Number.isNaN(time.getTime()) ? "" : time.toLocaleTimeString("en-GB") + "." + String(time.getMilliseconds()).padStart(3, "0");
  button.append(
    cell(told, "time"),
    what,
    request,
    cell(one.class, "class"),
    cell(one.status ?? "–", "n status"),
    cell(millis(one.wait_ms), "n wait"),
    cell(millis(one.service_ms), "n service"),
  );
  button.addEventListener("click", () => toggle(item, button, one));
  item.append(button);
  return item;
}

function toggle(item, button, one) {
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  if (open) {
    item.querySelector(".explanation").remove();
  } else {
    const box = document.createElement("div");
    box.className = "explanation";
    box.id = `explanation-${(serial += 1)}`;
    button.setAttribute("aria-controls", box.id);
    box.append(paragraph("what was", past(one)), paragraph("now", "Asking loadline what would become of such a request now …"));
    item.append(box);
    explain(one, box.lastChild);
  }
  hold();
}

function paragraph(label, text) {
  const part = document.createElement("div");
  part.append(cell(label === "now" ? "Such a request now" : "What happened", "label"));
  const body = document.createElement("p");
  body.textContent = text;
  part.append(body);
  return part;
}

// What happened, in words.
function past(one) {
  const by = one.class_by?.setting === "default" || !one.class_by?.setting
    ? "by default"
    : `by ${one.class_by.setting}${one.class_by.rule ? `, rule ${one.class_by.rule}` : ""}`;
  const parts = [`Class ${one.class} ${by}.`];
  if (one.route) parts.push(`Route ${one.route}.`);
  parts.push(one.wait_ms ? `It waited ${millis(one.wait_ms)} for a slot.` : "It did not wait.");
  if (one.decision === "shed") parts.push(`It was rejected (${one.reason})${one.status ? ` with ${one.status}` : ""}, and never reached the application.`);
  else if (one.decision === "would_shed") parts.push(`It would have been rejected (${one.reason}).`);
  else if (one.service_ms !== null) parts.push(`The application took ${millis(one.service_ms)}${one.status ? ` and the answer was ${one.status}` : ""}.`);
  if (one.retry_after !== null) parts.push(`It was told to come back after ${one.retry_after} s.`);
  if (one.client_left) parts.push(`The client left (${one.client_left}).`);
  if (one.deadline_left_ms !== null) {
    const left = one.deadline_left_ms;
    parts.push(left < 0 ? `Its deadline had passed ${millis(-left)} before.` : `${millis(left)} were left until its deadline.`);
  }
  return parts.join(" ");
}

async function explain(one, part) {
  const body = part.querySelector("p");
  try {
    const method = one.method === "_OTHER" ? "GET" : one.method;
    const query = `path=${pathForQuery(one.path)}&method=${method}&class=${one.class}`;
    const answer = await fetch(`api/v1/explain?${query}`);
    const text = await answer.text();
    body.textContent = answer.ok ? sentences(JSON.parse(text)) : `loadline cannot say: ${text.trim()}`;
  } catch {
    body.textContent = "loadline did not answer.";
  }
}

function sentences(document) {
  return Array.isArray(document.text) ? document.text.join("\n") : String(document.text).trim();
}

function isHeld() {
  return list.querySelector("[aria-expanded=true]") !== null || list.contains(globalThis.document.activeElement);
}

function hold() {
  $("held").hidden = !isHeld();
}

function show() {
  const which = globalThis.document.querySelector("[name=which]:checked").value;
  const wanted = latest.filter((one) => which === "all" || isBad(one) === (which === "rejected")).slice(0, SHOWN);
  list.replaceChildren(...wanted.map(row));
  $("decisions-none").hidden = wanted.length > 0;
  $("decisions-none").textContent = latest.length ? "None of this kind lately." : "No request yet.";
  $("decisions-head").hidden = wanted.length === 0;
}

async function refresh() {
  if (globalThis.document.hidden || isHeld()) return hold();
  try {
    const answer = await fetch("api/v1/recent");
    if (!answer.ok) return undefined;
    const { decisions } = await answer.json();
    if (!isHeld() && JSON.stringify(decisions[0]) + decisions.length !== JSON.stringify(latest[0]) + latest.length) {
      latest = decisions;
      show();
    }
  } catch {
    // The stream says that there is no answer, and tries again.
  }
  return hold();
}

// Begins to show decisions; `isLive` says whether it is worth asking.
export function begin(isLive) {
  setInterval(() => isLive() && refresh(), EVERY_MS);
  for (const choice of globalThis.document.getElementsByName("which")) choice.addEventListener("change", show);
  list.addEventListener("focusin", hold);
  list.addEventListener("focusout", () => setTimeout(hold));
  list.addEventListener("keydown", (event) => event.key === "Escape" && goOn());
  $("go-on").addEventListener("click", goOn);
  return refresh;
}

function goOn() {
  show();
  $("decisions-title").focus({ preventScroll: true });
  hold();
}
