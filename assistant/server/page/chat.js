"use strict";
// The chat page: speaks protocol version 1 (docs/protocol.md). No framework, no storage beyond this tab.

const STORE = "assistant.session";
const BACKOFF_MS = { base: 500, cap: 15000 };
const byId = (id) => document.getElementById(id);
const log = byId("log"), form = byId("composer"), field = byId("text"), stop = byId("stop"), send = byId("send");

let socket = null, attempt = 0, timer = 0, heartbeat = 0, online = false, leaving = false;
let credential = "";
let running = "";                       // id of the turn that is being answered
let maxChars = 2000;
const pending = new Map();              // own messages without an end: id → text
const turns = new Map();                // turn id → its element and text
const votes = new Map();
const said = new Set();                 // ids of what people wrote
// A reloaded tab starts with an empty page: it asks for the whole conversation again (last_seq 0).
let session = read(), lastSeq = 0;

function read() {
  try { return sessionStorage.getItem(STORE) || ""; } catch { return ""; }
}

function remember(id) {
  session = id;
  try { sessionStorage.setItem(STORE, id); } catch { /* private mode: this page only */ }
}

// --- connection ---

function connect() {
  clearTimeout(timer);
  timer = 0;
  state("connecting", "Connecting …");
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/ws`);
  socket.onopen = () => {
    const hello = { type: "hello", v: 1, platform: "web", locale: navigator.language, binary: true };
    if (credential) hello.credential = credential;
    if (session) Object.assign(hello, { session, last_seq: lastSeq });
    transmit(hello);
  };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = (event) => closed(event.code);
}

function closed(code) {
  online = false;
  clearInterval(heartbeat);
  refresh();
  if (leaving) return;
  if (code === 4409) return state("offline", "Open in another tab");
  if (code === 4400) return state("offline", "Please reload this page");
  if (code === 4401) return askCredential();
  if (code === 4404) forget();          // the data of this conversation were deleted
  state("offline", "Offline, reconnecting …");
  const limit = Math.min(BACKOFF_MS.cap, BACKOFF_MS.base * 2 ** Math.min(attempt, 8));
  attempt += 1;
  timer = setTimeout(connect, Math.random() * limit);
}

function askCredential() {
  state("offline", "Access needed");
  const given = window.prompt("This shop asks for an access code:");
  if (given) { credential = given; connect(); }
}

function transmit(message) {
  if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function forget() {
  remember("");
  lastSeq = 0;
  turns.clear();
  pending.clear();
  said.clear();
  log.replaceChildren();
  person("");
}

function reconnectNow() {
  if (!online && timer) connect();
}

function state(name, text) {
  byId("connection").dataset.state = name;
  byId("connection-text").textContent = text;
}

// --- messages from the server ---

const NUMBERED = new Set(["turn.started", "delta", "turn.done", "user.delivered", "handover", "agent.message"]);

function receive(message) {
  if (NUMBERED.has(message.type)) {
    if (message.seq <= lastSeq) return;  // seen before
    lastSeq = message.seq;
  }
  switch (message.type) {
    case "ready": return ready(message);
    case "turn.started": return started(message);
    case "delta": return delta(message);
    case "turn.done": return done(message);
    case "user.delivered": return delivered(message);
    case "handover": return handover(message);
    case "agent.message": return fromPerson(message);
    case "error": return refused(message);
  }
}

function ready(message) {
  if (!message.resumed) { lastSeq = 0; person(""); }
  if (!log.childElementCount) bubble("theirs", message.shop.greeting);
  remember(message.session);
  maxChars = message.limits.text_chars;
  byId("shop").textContent = message.shop.name;
  document.title = message.shop.name;
  online = true;
  attempt = 0;
  state("online", "Online");
  clearInterval(heartbeat);
  heartbeat = setInterval(() => transmit({ type: "ping", t: Date.now() }), message.limits.heartbeat_s * 1000);
  // What has no end yet is sent again; the ids make that harmless.
  for (const [id, text] of pending) transmit({ type: "user.text", id, text });
  refresh();
}

function started(message) {
  running = message.turn;
  const mine = document.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
  if (mine) mine.classList.remove("unsent");
  else bubble("mine", message.text).dataset.id = message.id;
  dropChoices();
  let turn = turns.get(message.turn);
  if (!turn) {
    const element = bubble("theirs", "");
    turn = { element, body: element.querySelector(".bubble"), text: "", id: message.id };
    turns.set(message.turn, turn);
  }
  turn.text = "";                       // after a restart of the server a turn begins again
  turn.body.replaceChildren(typing());
  refresh();
  scroll();
}

function delta(message) {
  const turn = turns.get(message.turn);
  if (!turn) return;
  turn.text += message.text;
  const follow = atEnd();
  turn.body.textContent = turn.text;
  if (follow) scroll();
}

function done(message) {
  const turn = turns.get(message.turn);
  if (!turn) return;
  const follow = atEnd();
  if (running === message.turn) running = "";
  pending.delete(turn.id);
  turn.text = message.text;
  turn.body.textContent = turn.text;
  turn.body.hidden = !turn.text;
  if (message.status === "cancelled") note(turn.element, "Stopped.");
  if (message.status === "failed") problem(turn.element, "That did not work. Please ask again.");
  if (message.ai_generated) turn.element.append(element("span", "label", "AI-generated"));
  for (const card of message.cards || []) turn.element.append(cardOf(card));
  if (message.sources && message.sources.length) turn.element.append(sources(message.sources));
  if (message.status === "completed" && turn.text) turn.element.append(voting(message.turn));
  dropChoices();
  if (message.quick_replies && message.quick_replies.length) turn.element.append(choices(message.quick_replies));
  byId("announcement").textContent = turn.text;   // read out once, not piece by piece
  refresh();
  if (follow) scroll();
}

function delivered(message) {
  pending.delete(message.id);
  const mine = document.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
  if (mine) mine.classList.remove("unsent");
  else bubble("mine", message.text).dataset.id = message.id;
}

function handover(message) {
  switch (message.state) {
    case "requested": return dropChoices();
    case "waiting": return person(waitingText(message), "Stop waiting");
    case "active":
      dropChoices();
      note(log, `You are talking to ${message.agent}.`);
      return person(`${message.agent} is with you`, "Back to the assistant");
    case "ended":
      note(log, message.reason === "customer" ? "The assistant is with you again." : "Our colleague has left. The assistant is with you again.");
      return person("");
  }
}

function waitingText(message) {
  if (message.staffed) {
    return message.position === 1 ? "You are next to talk to a colleague" : `Waiting for a colleague, number ${message.position} in line`;
  }
  if (!message.opens) return "Your request is kept for a colleague";
  const opens = new Date(message.opens).toLocaleString([], { weekday: "long", hour: "2-digit", minute: "2-digit" });
  return `Your request is kept. Colleagues are here again ${opens}`;
}

function fromPerson(message) {
  if (said.has(message.id)) return;
  said.add(message.id);
  const follow = atEnd();
  const made = bubble("theirs", message.text);
  made.querySelector(".unseen").textContent = message.agent ? "" : "Colleague:";
  if (message.agent) made.prepend(element("span", "note", message.agent));
  byId("announcement").textContent = message.text;
  if (follow) scroll();
}

// Where the customer stands with a person; "" hides it.
function person(text, button) {
  byId("person").hidden = !text;
  byId("person-text").textContent = text;
  byId("person-end").textContent = button || "";
}

function refused(message) {
  const mine = message.id && document.querySelector(`[data-id="${CSS.escape(message.id)}"]`);
  if (mine) {
    pending.delete(message.id);
    problem(mine, message.retryable ? "Not sent; please try again in a moment." : message.message);
  } else if (message.code === "rate_limited") {
    problem(log, "Too many messages. Please wait a moment.");
  }
  refresh();
}

// --- what the customer does ---

function ask(text) {
  const clean = text.trim();
  if (!clean) return;
  const id = `m${Date.now().toString(36)}${Math.random().toString(36).slice(2, 10)}`;
  const mine = bubble("mine", clean);
  mine.dataset.id = id;
  mine.classList.add("unsent");
  pending.set(id, clean);
  dropChoices();
  if (online) transmit({ type: "user.text", id, text: clean });
  scroll();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(field.value);
  field.value = "";
  grow();
  refresh();
  field.focus();
});
field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    if (!send.disabled) form.requestSubmit();
  }
});
field.addEventListener("input", () => { grow(); refresh(); });
byId("person-end").addEventListener("click", () => transmit({ type: "handover.end" }));
stop.addEventListener("click", () => { if (running) transmit({ type: "cancel", turn: running }); });
window.addEventListener("online", reconnectNow);
document.addEventListener("visibilitychange", () => { if (!document.hidden) reconnectNow(); });
window.addEventListener("pagehide", () => { leaving = true; });
window.addEventListener("pageshow", (event) => { if (event.persisted) { leaving = false; connect(); } });

function grow() {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function refresh() {
  const tooLong = [...field.value].length > maxChars;
  send.disabled = !field.value.trim() || tooLong;
  field.setAttribute("aria-invalid", String(tooLong));
  stop.hidden = !running || !online;
}

// --- elements ---

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function bubble(who, text) {
  const message = element("div", `message ${who}`);
  message.append(element("span", "unseen", who === "mine" ? "You:" : "Assistant:"), element("div", "bubble", text));
  log.append(message);
  scroll();
  return message;
}

function typing() {
  const dots = element("span", "typing");
  dots.setAttribute("role", "img");
  dots.setAttribute("aria-label", "writing");
  dots.append(element("i"), element("i"), element("i"));
  return dots;
}

function note(parent, text) {
  const made = element("div", "note", text);
  parent.append(made);
  return made;
}

function problem(parent, text) {
  note(parent, text).classList.add("problem");
}

function sources(found) {
  const box = element("details");
  box.append(element("summary", "", found.length === 1 ? "Source" : `${found.length} sources`));
  const list = element("ol");
  for (const source of found) {
    const item = element("li");
    item.append(element("b", "", source.title), element("span", "", source.text));
    if (source.document) item.append(element("div", "origin", source.document));
    list.append(item);
  }
  box.append(list);
  return box;
}

function choices(texts) {
  const row = element("div", "row choices");
  for (const text of texts) {
    const button = element("button", "", text);
    button.type = "button";
    button.addEventListener("click", () => { ask(text); field.focus(); });
    row.append(button);
  }
  return row;
}

const THUMB = "M2 11h4v10H2zM6 12l5-9c2 0 3 1.500 3 3l-1 5h6c1.500 0 2.500 1 2.200 2.500l-1.200 6c-.2 1-1 1.500-2 1.500H6z";

function voting(turn) {
  const row = element("div", "row");
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "Was this helpful?");
  for (const [value, name] of [["up", "Helpful"], ["down", "Not helpful"]]) {
    const button = element("button", `vote ${value}`);
    button.type = "button";
    button.title = name;
    button.setAttribute("aria-label", name);
    button.setAttribute("aria-pressed", String(votes.get(turn) === value));
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", THUMB);
    icon.append(path);
    button.append(icon);
    button.addEventListener("click", () => {
      votes.set(turn, value);
      transmit({ type: "feedback", turn, value });
      for (const other of row.children) other.setAttribute("aria-pressed", String(other === button));
    });
    row.append(button);
  }
  return row;
}

function cardOf(card) {
  const box = element("div", "card");
  const data = card.data || {};
  box.append(element("b", "", data.name || data.title || card.kind));
  const list = element("dl");
  for (const [name, value] of Object.entries(data)) {
    if (!["string", "number"].includes(typeof value) || value === "" || name === "name" || name === "title") continue;
    list.append(element("dt", "", name.replaceAll("_", " ")), element("dd", "", String(value)));
  }
  box.append(list);
  return box;
}

function dropChoices() {
  for (const old of log.querySelectorAll(".choices")) old.remove();
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 80;
}

function scroll() {
  log.scrollTop = log.scrollHeight;
}

refresh();
connect();
