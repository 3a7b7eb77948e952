// Decisions of a reviewer about the photographs of a run, which are saved as a corrections file.

const reviewKey = `colorize-review-${data.run}`;
const review = loadReview();
const earlier = []; // [key, what was decided before], for undo

// Decisions of an earlier visit; browsers may refuse storage to pages opened from a folder.
function loadReview() {
  try {
    const kept = JSON.parse(localStorage.getItem(reviewKey));
    return { by: String(kept.by ?? ""), rows: new Map(kept.rows) };
  } catch {
    return { by: "", rows: new Map() };
  }
}

function keepReview() {
  try {
    localStorage.setItem(reviewKey, JSON.stringify({ by: review.by, rows: [...review.rows] }));
  } catch {
    // decisions are still written to the saved file
  }
}

const decided = (row) => review.rows.get(row.key) ?? {};
const madeWith = (row) => row.settings.strength ?? 1;
const strengthOf = (row) => decided(row).strength ?? madeWith(row);

// Change what is decided about a row: {decision}, {strength} or {note}; a strength that the image already has is none.
function decide(index, change) {
  const row = data.rows[index];
  earlier.push([row.key, review.rows.get(row.key)]);
  const record = { ...decided(row), ...change, at: new Date().toISOString() };
  if (record.strength === madeWith(row)) delete record.strength;
  if (!record.note) delete record.note;
  if (!record.decision) delete record.decision;
  if (record.decision || record.note || record.strength !== undefined) review.rows.set(row.key, record);
  else review.rows.delete(row.key);
  keepReview();
  showRow(index);
  showTotals();
}

function toggleDecision(index, decision) {
  decide(index, { decision: decided(data.rows[index]).decision === decision ? null : decision });
}

function undoReview() {
  const [key, before] = earlier.pop() ?? [];
  if (key === undefined) return;
  if (before) review.rows.set(key, before);
  else review.rows.delete(key);
  keepReview();
  showRow(data.rows.findIndex((row) => row.key === key));
  showTotals();
}

function describeReview(row) {
  const { decision, strength, note } = decided(row);
  return [decision && `${decision}ed`, strength !== undefined && `strength ${strength}`, note && "note"].filter(Boolean).join(", ");
}

// Show the decisions about one row on its card and in the viewer.
function showRow(index) {
  const row = data.rows[index];
  const mark = gallery.cards[index].querySelector(".mark");
  mark.textContent = describeReview(row);
  mark.dataset.decision = decided(row).decision ?? "";
  showStrength(gallery.cards[index], row);
  if (gallery.openedRow() === index) fillPanel(row);
}

function showTotals() {
  const all = [...review.rows.values()];
  const count = (decision) => all.filter((each) => each.decision === decision).length;
  byId("review-state").textContent = all.length
    ? `${count("accept")} accepted, ${count("reject")} rejected, ${all.filter((each) => each.strength !== undefined).length} changed`
    : "nothing decided yet";
  byId("review-undo").disabled = earlier.length === 0;
  byId("review-save").disabled = all.length === 0;
}

// Saturation of the color image approximates what another strength will give.
function showStrength(box, row, strength = strengthOf(row)) {
  const factor = madeWith(row) ? strength / madeWith(row) : 1;
  box.querySelectorAll(".compare .after").forEach((color) => { color.style.filter = factor === 1 ? "" : `saturate(${factor})`; });
}

function reviewPanel(index) {
  const row = data.rows[index];
  const accept = element("button", { type: "button", id: "accept" }, "Accept");
  const reject = element("button", { type: "button", id: "reject" }, "Reject");
  accept.addEventListener("click", () => toggleDecision(index, "accept"));
  reject.addEventListener("click", () => toggleDecision(index, "reject"));
  const strength = element("input", { type: "range", id: "strength", min: 0, max: 2, step: 0.05, value: strengthOf(row) });
  strength.addEventListener("input", () => {
    byId("strength-value").textContent = strength.valueAsNumber.toFixed(2);
    showStrength(byId("viewer-body"), row, strength.valueAsNumber);
  });
  strength.addEventListener("change", () => decide(index, { strength: strength.valueAsNumber }));
  const note = element("input", { type: "text", id: "note", autocomplete: "off", maxlength: 1000, value: decided(row).note ?? "" });
  note.addEventListener("change", () => decide(index, { note: note.value.trim() }));
  return element("div", { class: "review-panel", role: "group", "aria-label": "Review" },
    element("div", { class: "tools" }, accept, reject),
    element("label", {}, "Strength ", element("output", { id: "strength-value", for: "strength" }), strength),
    element("label", {}, "Note", note));
}

function fillPanel(row) {
  const { decision, note } = decided(row);
  byId("accept").setAttribute("aria-pressed", String(decision === "accept"));
  byId("reject").setAttribute("aria-pressed", String(decision === "reject"));
  byId("strength").value = strengthOf(row);
  byId("strength-value").textContent = Number(strengthOf(row)).toFixed(2);
  if (document.activeElement !== byId("note")) byId("note").value = note ?? "";
  showStrength(byId("viewer-body"), row);
}

// A correction replaces all own settings of a photograph: the others stay as the image was made.
function saveReview() {
  const settings = new Map(data.rows.map((row) => [row.key, row.settings]));
  const rows = [...review.rows].map(([key, { strength, ...rest }]) =>
    [key, { ...rest, by: review.by, ...(strength === undefined ? {} : { settings: { ...settings.get(key), strength } }) }]);
  const content = { version: 1, rows: Object.fromEntries(rows) };
  const file = new Blob([JSON.stringify(content, null, 1)], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(file), download: "corrections.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Keys of the gallery: decide about the photograph that is open or has the focus, and go to the next one.
function decideByKey(decision) {
  return (target) => {
    const index = gallery.currentRow(target);
    if (index < 0 || !data.rows[index].after) return;
    decide(index, { decision });
    gallery.step(1);
  };
}

function startReview() {
  byId("reviewer").value = review.by;
  byId("reviewer").addEventListener("input", () => {
    review.by = byId("reviewer").value.trim();
    keepReview();
  });
  byId("review-undo").addEventListener("click", undoReview);
  byId("review-save").addEventListener("click", saveReview);
  data.rows.forEach((row, index) => { if (row.after) showRow(index); });
  showTotals();
}
