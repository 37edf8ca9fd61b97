// Numbers and states as people read them. Nothing here touches the page.

const MINUS = "\u2212";
const NARROW = "\u202f";

// 0.4, 7.2, 41, 1,204, 12.3k: three digits or so.
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 0) return MINUS + number(-value);
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  if (value < 9.95) return trim(value.toFixed(1));
  if (value < 9999.5) return Math.round(value).toLocaleString("en-US");
  if (value < 999_500) return trim((value / 1000).toFixed(value < 99_950 ? 1 : 0)) + "k";
  return trim((value / 1e6).toFixed(1)) + "M";
}

// Counts: exact up to six digits.
export function count(value) {
  if (!Number.isFinite(value)) return "–";
  return value < 1e6 ? value.toLocaleString("en-US") : number(value);
}

export function millis(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.95) return "<1" + NARROW + "ms";
  if (value < 999.5) return Math.round(value) + NARROW + "ms";
  if (value < 99_950) return trim((value / 1000).toFixed(value < 9995 ? 2 : 1)) + NARROW + "s";
  return span(value / 1000);
}

// 45 s, 12 min, 3 h 20 min, 4 d 2 h.
export function span(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s}${NARROW}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${NARROW}min`;
  if (s < 86_400) return `${Math.floor(s / 3600)}${NARROW}h ${Math.floor((s % 3600) / 60)}${NARROW}min`;
  return `${Math.floor(s / 86_400)}${NARROW}d ${Math.floor((s % 86_400) / 3600)}${NARROW}h`;
}

export function clock(ms) {
  return new Date(ms).toLocaleTimeString("en-GB");
}

export function plural(n, one, many = one + "s") {
  return `${count(n)} ${n === 1 ? one : many}`;
}

function trim(text) {
  return text.replace(/\.0+$/, "").replace(/(\.\d*?)0+$/, "$1");
}

// The state as a key for colours and icons, a word, and a sentence that needs no other figure beside it.
export function stateOf(status, wouldShed, leading) {
  const { offered, shed } = status.rates_per_second;
  const waiting = `${count(status.queued)} ${status.queued === 1 ? "waits" : "wait"} for a slot`;
  const oldest = status.oldest_wait_ms === null ? "" : `, the oldest for ${millis(status.oldest_wait_ms)}`;
  if (status.state === "DRAINING") {
    const left = plural(status.in_flight + status.queued, "request");
    return { key: "draining", word: "DRAINING", sentence: `Connections close after their answer. ${left} to finish.` };
  }
  if (status.dry_run) {
    const would = wouldShed > 0 ? `${number(wouldShed)}/s would be rejected.` : "Nobody would be rejected.";
    return { key: "dry-run", word: "DRY RUN", sentence: `Everybody is forwarded at once. ${would}` };
  }
  if (status.state === "SHEDDING") {
    const why = leading ? `, most for ${leading}` : "";
    const queue = status.queued > 0 ? ` ${waiting}${oldest}.` : "";
    return { key: "shedding", word: "SHEDDING", sentence: `${number(shed)} of ${number(offered)} requests per second are rejected${why}.${queue}` };
  }
  if (status.state === "QUEUEING") {
    return { key: "queueing", word: "QUEUEING", sentence: `${waiting}${oldest}. Nobody is rejected.` };
  }
  const sentence = offered > 0 ? "Every request has a slot at once." : "No requests at the moment.";
  return { key: "ok", word: "OK", sentence };
}

// The path of a decision is bytes with escapes (\xNN, \t, \r, \n, \', \", \\); as it goes into a query.
export function pathForQuery(shown) {
  const path = shown.endsWith("…") ? shown.slice(0, -1) : shown;
  return path.replace(/\\x([0-9a-f]{2})|\\([tnr'"\\])|([^A-Za-z0-9/._~-])/g, (_, hex, escaped, other) => {
    if (hex) return "%" + hex;
    const character = escaped ? { t: "\t", n: "\n", r: "\r" }[escaped] ?? escaped : other;
    return "%" + character.charCodeAt(0).toString(16).padStart(2, "0");
  });
}
