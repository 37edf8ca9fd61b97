// The live page: hears the stream, and writes what it says into the page. Whatever comes from loadline is written as text.

import { Chart, SPAN_MS } from "./chart.js";
import { begin } from "./decisions.js";
import { clock, count, millis, number, plural, span, stateOf } from "./words.js";

const CLASSES = ["critical", "high", "normal", "low", "bypass"];
// Silence that means that the connection is gone; there are four documents a second.
const SILENCE_MS = 3_000;
// Between two attempts to connect.
const RETRY_MS = 1_000;
// What "in the last minute" is.
const MINUTE_MS = 60_000;

const $ = (id) => document.getElementById(id);
const text = (id, value) => {
  const element = $(id);
  if (element.textContent !== String(value)) element.textContent = value;
};

let source = null;
let tried = 0;
let heard = 0;
let lostSince = null;
let status = null;
let samples = [];
let restarts = [];
// Counts of what was shed, one set per second, for "in the last minute".
let minute = [];
let told = "";

const charts = [
  new Chart({
    box: $("rates"), legend: $("rates-legend"), at: $("rates-at"), label: "Requests per second over five minutes",
    format: number, least: 1,
    series: [
      { key: "served", label: "served", kind: "area", of: (s) => s.served ?? null },
      { key: "shed", label: "shed", kind: "area", of: (s) => s.shed ?? null, on: (s) => s.served },
      { key: "offered", label: "offered", kind: "line", of: (s) => s.offered ?? null },
      { key: "good", label: "goodput", kind: "line", of: (s) => s.good ?? null },
      { key: "would", label: "would be shed", kind: "line", optional: true, of: (s) => s.would_shed ?? null },
      { key: "limit", label: "limit ÷ service time", kind: "line", cut: true, of: (s) => s.limit_rate ?? null },
    ],
  }),
  new Chart({
    box: $("flight"), legend: $("flight-legend"), at: $("flight-at"), label: "Requests in flight over five minutes",
    format: number, least: 2, whole: true,
    series: [
      { key: "served", label: "in flight", kind: "area", of: (s) => s.in_flight ?? null },
      { key: "limit", label: "limit", kind: "step", of: (s) => s.limit ?? null },
    ],
  }),
  new Chart({
    box: $("queue"), legend: $("queue-legend"), at: $("queue-at"), label: "Requests waiting over five minutes",
    format: number, least: 2, whole: true,
    series: [
      { key: "queue", label: "waiting", kind: "area", of: (s) => s.queued ?? null },
    ],
  }),
];

const refreshDecisions = begin(() => lostSince === null && heard > 0);

function open() {
  close();
  tried = Date.now();
  source = new EventSource("api/v1/stream");
  source.addEventListener("samples", (event) => onSamples(JSON.parse(event.data)));
  source.addEventListener("status", (event) => onStatus(JSON.parse(event.data)));
  source.addEventListener("end", () => lost("loadline has ended"));
  source.addEventListener("error", () => lost("Connection lost"));
}

function close() {
  source?.close();
  source = null;
}

// The connection is gone. Browsers give up on some failures, so the next attempt is ours (see watch).
function lost(why) {
  close();
  if (lostSince !== null) return;
  lostSince = Date.now();
  showLost(why);
}

function showLost(why) {
  document.body.dataset.state = "waiting";
  $("state-icon").setAttribute("href", "#i-waiting");
  text("state", "NO ANSWER");
  text("sentence", `${why} at ${clock(lostSince)}. Trying again; the figures below are the last ones heard.`);
  $("link").dataset.link = "lost";
  text("link-text", "reconnecting");
  document.title = "NO ANSWER – loadline";
  say("NO ANSWER");
}

// For those who hear the page: a change of the state, not every figure.
function say(word) {
  if (told !== word) text("state-said", `State: ${word}`);
  told = word;
}

function watch() {
  if (document.hidden) return;
  const now = Date.now();
  if (source && Math.max(heard, tried) + SILENCE_MS < now) lost("No word since then; connection lost");
  if (!source && tried + RETRY_MS <= now) open();
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    close();
    $("link").dataset.link = "paused";
    text("link-text", "paused");
  } else {
    open();
    refreshDecisions();
  }
});
// Pages that go into the browser's back-forward cache must not hold a connection.
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && open());

function onSamples(fresh) {
  const known = new Set(samples.map((sample) => sample.time_ms));
  samples.push(...fresh.filter((sample) => !known.has(sample.time_ms)));
  const latest = samples.reduce((most, sample) => Math.max(most, sample.time_ms), 0);
  samples = samples.filter((sample) => latest - sample.time_ms <= SPAN_MS + 2_000).sort((a, b) => a.time_ms - b.time_ms);
  restarts = restarts.filter((time) => latest - time < SPAN_MS);
  for (const chart of charts) chart.set(samples, restarts, latest);
}

function onStatus(fresh) {
  heard = Date.now();
  if (status && fresh.version !== status.version) return location.reload();
  if (status && fresh.started_ms !== status.started_ms) {
    restarts.push(fresh.started_ms);
    minute = [];
    $("notice").hidden = false;
    text("notice", `loadline was restarted at ${clock(fresh.started_ms)}. Counts began anew then.`);
  }
  const back = lostSince !== null;
  lostSince = null;
  status = fresh;
  $("link").dataset.link = "live";
  text("link-text", "live");
  remember();
  showState();
  showNow();
  showShed();
  showEndpoints();
  showLimiter();
  if (back) refreshDecisions();
  return undefined;
}

function remember() {
  const last = minute.at(-1);
  if (last && heard - last.time < 1_000) return;
  minute.push({ time: heard, shed: structuredClone(shedCounts(status)) });
  while (minute.length > 1 && heard - minute[1].time > MINUTE_MS) minute.shift();
}

function shedCounts(from) {
  return Object.fromEntries(CLASSES.map((name) => [name, from.classes[name]?.shed_by_reason ?? {}]));
}

function inLastMinute(name, reason) {
  return (status.classes[name]?.shed_by_reason?.[reason] ?? 0) - (minute[0]?.shed[name]?.[reason] ?? 0);
}

// How far back "lately" reaches: a minute, or as long as this page has been looking.
function latelyWords() {
  const seconds = Math.round((heard - minute[0].time) / 1_000);
  return seconds >= 58 ? "in the last minute" : `in the last ${Math.max(1, seconds)}\u202fs`;
}

// The reason that most were rejected for in the last minute.
function leadingReason() {
  let [best, most] = ["", 0];
  for (const reason of Object.keys(status.shed_by_reason)) {
    const sum = CLASSES.reduce((total, name) => total + inLastMinute(name, reason), 0);
    if (sum > most) [best, most] = [reason, sum];
  }
  return best;
}

function showState() {
  const would = samples.at(-1)?.would_shed ?? 0;
  const { key, word, sentence } = stateOf(status, would, leadingReason());
  document.body.dataset.state = key;
  $("state-icon").setAttribute("href", `#i-${key}`);
  text("state", word);
  text("sentence", sentence);
  say(word);
  document.title = `${word} – loadline`;
  text("upstream", `in front of ${status.upstream}`);
  text("version", `version ${status.version}`);
  text("uptime", `up ${span(status.uptime_seconds)}`);
  const rates = status.rates_per_second;
  text("offered", number(rates.offered));
  text("served", number(rates.admitted));
  text("shed-label", status.dry_run ? "Would be shed" : "Shed");
  text("shed", number(status.dry_run ? would : rates.shed));
  text("good", number(rates.good));
}

function meter(id, value, most) {
  const share = most > 0 ? Math.min(1, value / most) : 0;
  const bar = $(id);
  bar.setAttribute("aria-valuenow", value);
  bar.setAttribute("aria-valuemax", Math.max(most, value));
  bar.firstElementChild.style.width = `${(share * 100).toFixed(1)}%`;
  bar.classList.toggle("full", share >= 1);
}

function showNow() {
  const slots = status.effective_limit ?? status.limit;
  const stands = slots === status.limit ? "" : ` now, limit ${count(status.limit)}`;
  // Beyond the limit there are slots that only critical requests may use.
  const reserve = status.reserve > 0 ? ` + ${count(status.reserve)} for critical` : "";
  text("slots", `${count(status.in_flight)} of ${count(slots)}${reserve}${stands}`);
  meter("slots-bar", status.in_flight, slots);
  text("waiting", status.queue_depth > 0 ? `${count(status.queued)} of ${count(status.queue_depth)}` : "no queue");
  meter("queue-bar", status.queued, status.queue_depth);
  text("oldest", status.oldest_wait_ms === null ? "nobody waits" : millis(status.oldest_wait_ms));
  const percent = status.demand_ratio * 100;
  text("demand", `${number(percent)}\u202f% of the limit`);
  for (const kind of ["wait", "service"]) {
    const of = status[`${kind}_ms`] ?? {};
    for (const p of ["p50", "p95", "p99"]) text(`${kind}-${p}`, millis(of[p] ?? null));
    spread(`${kind}-range`, of.p50, of.p99);
  }
  const signals = Object.entries(status.overload?.signals ?? {});
  $("signals").hidden = signals.length === 0;
  fill("signals-list", signals, ([name, signal]) => {
    const item = element("li", signal.level === "none" ? "" : "hot");
    item.append(element("span", "", name.replaceAll("_", " ")), element("strong", "", signal.level === "none" ? "fine" : `▲ ${signal.level}`));
    return item;
  });
}

// From the median to the 99th percentile on a logarithmic scale from 1 ms to 10 s.
function spread(id, from, to) {
  const at = (value) => Math.min(100, Math.max(0, (Math.log10(Math.max(value, 1e-3)) / 4) * 100));
  const bar = $(id).firstElementChild;
  const known = from !== null && from !== undefined;
  bar.hidden = !known;
  if (!known) return;
  bar.style.left = `${at(from)}%`;
  bar.style.width = `${Math.max(1.5, at(to) - at(from))}%`;
}

function element(name, className = "", content = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

// Replaces the children of a list, unless they would be the same.
function fill(id, items, make) {
  const parent = $(id);
  const stamp = JSON.stringify(items);
  if (parent.dataset.stamp === stamp) return;
  parent.dataset.stamp = stamp;
  parent.replaceChildren(...items.map(make));
}

function showShed() {
  const reasons = Object.keys(status.shed_by_reason).filter((reason) => status.shed_by_reason[reason] > 0);
  const rows = reasons.map((reason) => [reason, CLASSES.map((name) => [
    status.classes[name]?.shed_by_reason?.[reason] ?? 0,
    inLastMinute(name, reason),
  ])]);
  $("shed-none").hidden = rows.length > 0;
  text("lately", latelyWords());
  $("shed-table").hidden = rows.length === 0;
  fill("shed-rows", rows, ([reason, cells]) => {
    const row = element("tr");
    const head = element("th", "", reason);
    head.scope = "row";
    row.append(head);
    cells.forEach(([total, recent], at) => {
      const cell = element("td", total === 0 ? "zero" : "");
      if (CLASSES[at] === "critical" && total > 0) cell.classList.add("critical");
      cell.append(element("span", "", total === 0 ? "0" : count(total)));
      if (recent > 0) cell.append(element("span", "plus", `+${number(recent)}`));
      row.append(cell);
    });
    return row;
  });
  const all = reasons.reduce((sum, reason) => sum + (status.classes.critical?.shed_by_reason?.[reason] ?? 0), 0);
  const recent = reasons.reduce((sum, reason) => sum + inLastMinute("critical", reason), 0);
  const alarm = $("critical");
  alarm.hidden = all === 0;
  alarm.dataset.recent = String(recent > 0);
  if (recent > 0) text("critical", `▲ Critical requests are being rejected: ${count(recent)} ${latelyWords()}, ${count(all)} since the start.`);
  else if (all > 0) text("critical", `Critical requests were rejected: ${count(all)} since the start, none ${latelyWords()}.`);
}

const BREAKER = { up: ["✓", "closed"], open: ["▲", "open"], probing: ["◐", "probing"], down: ["✕", "down"] };

function showEndpoints() {
  const endpoints = status.endpoints ?? [];
  $("endpoints").hidden = endpoints.length === 0;
  const up = endpoints.filter((one) => one.state === "up").length;
  text("endpoints-sum", `${up} of ${endpoints.length} in use`);
  fill("endpoint-rows", endpoints, (one) => {
    const row = element("tr");
    const name = element("th", "mono", one.address);
    name.scope = "row";
    const [sign, word] = BREAKER[one.state] ?? ["", one.state];
    const rest = one.open_for_ms ? `, ${millis(one.open_for_ms)} left` : "";
    row.append(
      name,
      element("td", `breaker ${one.state}`, `${sign} ${word}${rest}`),
      element("td", "n", count(one.in_flight)),
      element("td", "n", millis(one.latency_ms)),
      element("td", "n", `${count(one.failed)} of ${count(one.ok + one.failed)}`),
    );
    return row;
  });
}

function showLimiter() {
  const limiter = status.limiter;
  $("limiter").hidden = !limiter || limiter.algorithm === "fixed";
  if ($("limiter").hidden) return;
  text("law", limiter.algorithm);
  text("limiter-range", `between ${count(limiter.min)} and ${count(limiter.max)}; raised ${plural(limiter.raised, "time")}, lowered ${plural(limiter.lowered, "time")}`);
  const parts = [`The limit is ${count(limiter.limit)}${limiter.in_force === limiter.limit ? "" : `, and ${count(limiter.in_force)} is in force`}.`];
  if (limiter.arms) parts.push(`Compared now: ${limiter.arms.join(" and ")}.`);
  if (limiter.elasticity !== null && limiter.elasticity !== undefined) {
    const error = limiter.standard_error === null ? "" : ` ± ${limiter.standard_error}`;
    parts.push(`Throughput follows the limit with an exponent of ${limiter.elasticity}${error}.`);
  }
  if (limiter.bound !== null && limiter.bound !== undefined) parts.push(`The limit was in the way ${number(limiter.bound * 100)}\u202f% of the time.`);
  text("limiter-now", parts.join(" "));
  fill("limiter-changes", (limiter.changes ?? []).slice(0, 8).map(({ seconds_ago, ...rest }) => ({ ago: span(seconds_ago), ...rest })), (change) => {
    const item = element("li");
    const sign = change.to > change.from ? "▲" : "▼";
    item.append(element("span", "ago", `${change.ago} ago`), element("strong", "", `${change.from} ${sign} ${change.to}`), element("span", "", String(change.why).replaceAll("_", " ")));
    return item;
  });
}

let settings = [];

async function loadConfig() {
  try {
    const answer = await fetch("api/v1/config");
    if (!answer.ok) return;
    settings = (await answer.json()).settings;
    showConfig();
  } catch {
    // The stream says that there is no answer.
  }
}

function showConfig() {
  const find = $("config-find").value.trim().toLowerCase();
  const shown = settings.filter((one) => (!$("config-set").checked || one.set)
    && `${one.name} ${one.value ?? ""} ${one.origin}`.toLowerCase().includes(find));
  fill("config-rows", shown, (one) => {
    const row = element("tr", one.set ? "set" : "");
    const name = element("th", "mono", one.name);
    name.scope = "row";
    name.title = one.meaning;
    row.append(name, element("td", "mono value", one.value ?? "none"), element("td", "", one.origin));
    return row;
  });
  const set = settings.filter((one) => one.set).length;
  text("config-sum", `${settings.length} settings, ${set} set; shown: ${shown.length}`);
}

$("config").addEventListener("toggle", () => $("config").open && loadConfig());
$("config-find").addEventListener("input", showConfig);
$("config-set").addEventListener("change", showConfig);
// A reload may have changed it.
setInterval(() => $("config").open && !document.hidden && lostSince === null && loadConfig(), 5_000);

setInterval(watch, 500);
open();
refreshDecisions();
