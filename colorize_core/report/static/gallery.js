// Gallery with groups, filters, sorting, search, keyboard control and a viewer. Each page defines its cards and views.

const IS_WIDE = matchMedia("(min-width: 761px)").matches;
const PER_STEP = IS_WIDE ? 48 : 12; // cards shown at a time, so that the sections below the gallery stay within reach

function startGallery({ card, open, keys: own = {} }) {
  const { rows, groups, measures } = data;
  const cards = rows.map((row, index) => makeCard(row, index));
  let group = groups[0];
  let listed = [];
  let drawn = PER_STEP;
  let opened = -1;

  function makeCard(row, index) {
    const article = element("article", { class: "card", "data-index": index, "aria-label": row.key });
    const button = element("button", { type: "button", class: "open", title: `Open ${row.key}` }, baseName(row.key));
    button.addEventListener("click", () => view(listed.indexOf(index)));
    card(row, article, button);
    return article;
  }

  function baseName(key) {
    return key.slice(key.lastIndexOf("/") + 1) || key;
  }

  groups.forEach((each) => {
    const button = element("button", { type: "button", "aria-pressed": each === group },
      each.title, element("span", { class: "size" }, each.rows.length.toLocaleString("en")));
    button.setAttribute("aria-pressed", String(each === group));
    button.addEventListener("click", () => {
      group = each;
      byId("groups").querySelectorAll("button").forEach((other) =>
        other.setAttribute("aria-pressed", String(other === button)));
      refresh();
    });
    byId("groups").append(button);
  });

  byId("filters").open = IS_WIDE; // on phones the images come first
  byId("sort").append(element("option", { value: "" }, "group order"), element("option", { value: "key" }, "key"));
  measures.forEach((each) => {
    byId("sort").append(element("option", { value: each.name }, each.title));
    byId("measure").append(element("option", { value: each.name }, each.title));
  });

  const valueOf = (id) => byId(id)?.value ?? "";

  function matches(row) {
    const search = valueOf("search").trim().toLowerCase();
    const folder = valueOf("folder");
    if (search && !row.key.toLowerCase().includes(search)) return false;
    if (valueOf("status") && row.status !== valueOf("status")) return false;
    if (folder && row.folder !== folder && !row.folder.startsWith(`${folder}/`)) return false;
    const measure = valueOf("measure");
    if (!measure) return true;
    const value = row.values[measure];
    const [low, high] = ["low", "high"].map((id) => byId(id).valueAsNumber);
    return value !== null && value !== undefined && !(value < low) && !(value > high); // an empty bound is NaN
  }

  function refresh() {
    const sort = valueOf("sort");
    const sign = byId("direction").getAttribute("aria-pressed") === "true" ? -1 : 1;
    listed = group.rows.filter((index) => matches(rows[index]));
    if (sort === "key") listed.sort((one, two) => sign * (rows[one].key < rows[two].key ? -1 : 1));
    else if (sort) listed.sort(byMeasure(sort, sign));
    else if (sign < 0) listed.reverse();
    drawn = PER_STEP;
    draw();
    byId("group-note").textContent = group.note;
    byId("shown").textContent = `${listed.length} of ${group.rows.length} shown`;
    byId("nothing").hidden = listed.length > 0;
    const chosen = measures.find((each) => each.name === valueOf("measure"));
    ["low", "high"].forEach((id) => { byId(id).disabled = !chosen; });
  }

  function draw() {
    byId("cards").replaceChildren(...listed.slice(0, drawn).map((index) => cards[index]));
    byId("more").hidden = drawn >= listed.length;
    byId("more").textContent = `Show ${Math.min(PER_STEP, listed.length - drawn)} more`;
  }

  function drawTo(place) {
    while (drawn <= place) drawn += PER_STEP;
    draw();
  }

  byId("more").addEventListener("click", () => {
    const first = drawn;
    drawTo(drawn);
    cards[listed[first]].querySelector(".open").focus();
  });

  function byMeasure(name, sign) { // rows without a value come last in both directions
    return (one, two) => {
      const [a, b] = [rows[one].values[name] ?? null, rows[two].values[name] ?? null];
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a - b);
    };
  }

  byId("controls").addEventListener("input", refresh);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").addEventListener("reset", () => {
    setDirection(false);
    setTimeout(refresh); // the fields are cleared after this event
  });
  byId("direction").addEventListener("click", () => {
    setDirection(byId("direction").getAttribute("aria-pressed") !== "true");
    refresh();
  });

  function setDirection(descending) {
    byId("direction").setAttribute("aria-pressed", String(descending));
    byId("direction").textContent = descending ? "↓ Descending" : "↑ Ascending";
  }

  const viewer = byId("viewer");

  function view(place) {
    if (place < 0 || place >= listed.length) return;
    opened = place;
    const row = rows[listed[place]];
    byId("viewer-title").textContent = row.key;
    byId("viewer-place").textContent = `${place + 1} of ${listed.length}`;
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === listed.length - 1;
    byId("viewer-body").replaceChildren(...open(row, listed[place]));
    if (!viewer.open) viewer.showModal();
    if (!viewer.contains(document.activeElement) || document.activeElement.disabled) byId("close").focus();
  }

  byId("previous").addEventListener("click", () => view(opened - 1));
  byId("next").addEventListener("click", () => view(opened + 1));
  byId("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("close", () => {
    byId("viewer-body").replaceChildren();
    drawTo(opened);
    cards[listed[opened]]?.querySelector(".open").focus();
  });

  function step(by) {
    if (viewer.open) return view(opened + by);
    const here = document.activeElement.closest(".card");
    const place = here ? listed.indexOf(Number(here.dataset.index)) + by : 0;
    const next = Math.max(0, Math.min(place, listed.length - 1));
    drawTo(next);
    const target = cards[listed[next]];
    target?.querySelector(".open").focus();
    target?.scrollIntoView({ block: "nearest" });
  }

  const onSlider = (target) => target.matches("input[type=range]");
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    ArrowRight: (target) => viewer.open && !onSlider(target) && view(opened + 1),
    ArrowLeft: (target) => viewer.open && !onSlider(target) && view(opened - 1),
    b: (target) => (viewer.open ? viewer : target.closest(".card"))?.querySelector(".compare")?.toggle(),
    z: () => viewer.open && byId("actual")?.click(),
    m: () => byId("maps")?.click(),
    "/": () => {
      if (viewer.open) return;
      byId("filters").open = true;
      byId("search").focus();
    },
    ...own,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action === undefined) return;
    if (event.key === "/") event.preventDefault();
    action(event.target);
  });

  const openedRow = () => (viewer.open ? listed[opened] : -1);
  const currentRow = (target) => (viewer.open ? openedRow() : Number(target.closest(".card")?.dataset.index ?? -1));

  refresh();
  const openRow = (index) => view(listed.indexOf(index));
  return { cards, openRow, openedRow, currentRow, step, reopen: () => viewer.open && view(opened) };
}

function measureValues(row) {
  return data.measures.filter((each) => each.name in row.values && row.values[each.name] !== null)
    .map((each) => [each.title, formatNumber(row.values[each.name], each.digits)]);
}

function definitions(pairs) {
  const list = element("dl");
  for (const [name, value] of pairs) {
    if (value !== null && value !== "") list.append(element("dt", {}, name), element("dd", {}, String(value)));
  }
  return list;
}
