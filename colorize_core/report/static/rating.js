// Blind rating: the page knows images by anonymous names only; the encoded study is passed on to the saved file.

const storageKey = `colorize-ratings-${data.study}`;
const order = shuffled(data.pairs.length);
let votes = load();
let shown = null;
let shownAt = 0;

function shuffled(count) {
  const places = [...Array(count).keys()];
  for (let last = count - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [places[last], places[other]] = [places[other], places[last]];
  }
  return places;
}

// Votes of an earlier visit; browsers may refuse storage to pages opened from a folder.
function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageKey));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    localStorage.setItem(storageKey, JSON.stringify(votes));
  } catch {
    // votes are still written to the saved file
  }
}

function present() {
  const rated = new Set(votes.map((vote) => vote.pair));
  const pair = order.find((place) => !rated.has(place));
  byId("progress").value = rated.size;
  byId("state").textContent = `${rated.size} of ${data.pairs.length} rated`;
  byId("undo").disabled = votes.length === 0;
  byId("save").disabled = votes.length === 0;
  byId("pair").hidden = pair === undefined;
  byId("done").hidden = pair !== undefined;
  byId("tie").disabled = pair === undefined;
  shown = null;
  if (pair === undefined) return;
  const sides = Math.random() < 0.5 ? data.pairs[pair] : [...data.pairs[pair]].reverse();
  shown = { pair, left: sides[0], right: sides[1] };
  ["left", "right"].forEach((side) => { byId(`${side}-image`).src = `pictures/${shown[side]}.png`; });
  shownAt = performance.now();
}

function vote(choice) {
  if (!shown) return;
  votes.push({ ...shown, choice, milliseconds: Math.round(performance.now() - shownAt) });
  keep();
  present();
}

function undo() {
  votes.pop();
  keep();
  present();
}

function save() {
  const content = { format: data.format, study: data.study, rater: byId("rater").value.trim(), votes, sealed: data.sealed };
  const file = new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(file), download: `ratings-${data.study}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A small photograph stays small: enlarged further, its blur would decide.
const LARGEST_SCALE = 4;
["left", "right"].forEach((side) => byId(`${side}-image`).addEventListener("load", ({ target }) => {
  target.style.maxWidth = `${LARGEST_SCALE * target.naturalWidth}px`;
  target.style.maxHeight = `${LARGEST_SCALE * target.naturalHeight}px`;
}));

["left", "right"].forEach((side) => byId(side).addEventListener("click", (event) => {
  if (event.detail > 0) byId(side).blur(); // after a click or touch, the space bar must not vote for the same side again
  vote(side);
}));
byId("tie").addEventListener("click", () => vote("tie"));
byId("undo").addEventListener("click", undo);
byId("save").addEventListener("click", save);

const keys = { ArrowLeft: () => vote("left"), ArrowRight: () => vote("right"), " ": () => vote("tie"), Backspace: undo };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || isTyping(event.target)) return;
  const onButton = event.key === " " && event.target.matches("button, a");
  if (!(event.key in keys) || onButton) return;
  event.preventDefault();
  keys[event.key]();
});

present();
