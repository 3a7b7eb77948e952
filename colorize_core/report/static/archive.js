// Page of an archive: every image has a before/after slider and opens with its row.

// Before is the thumbnail of the source, or, at other sizes, the lightness of the color image, which equals the photograph's.
function pair(row, source) {
  const ofSource = row.before && source === row.after;
  const before = ofSource ? image(row.before, "") : image(source, "", { class: "lightness" });
  const names = [ofSource ? "source" : "lightness", "color"];
  return compare(before, image(source, `${row.key}, color image`), `Before and after: ${row.key}`, names);
}

function reason(row, ...more) {
  const status = element("span", { class: "status bad" }, row.status_title);
  const error = element("span", {}, row.error || row.thumbnail_error || "");
  return element("div", { class: "blank" }, status, error, ...more);
}

// Where the file of a failed input is, and what can be done about it.
function remedy(row) {
  const separator = data.source.endsWith("/") ? "" : "/";
  const path = `${data.source}${separator}${row.key}`;
  const copy = element("button", { type: "button" }, "Copy path");
  const code = element("code", {}, path);
  copyOnClick(copy, code);
  const source = path.startsWith("/") && element("a",
    { href: `file://${path.split("/").map(encodeURIComponent).join("/")}`, target: "_blank", rel: "noopener" }, "Open the source");
  const advice = row.advice && element("p", {}, `${row.advice[0].toUpperCase()}${row.advice.slice(1)}.`);
  return [advice || null, element("p", { class: "path" }, code), element("p", { class: "tools" }, copy, source || null)];
}

function card(row, article, button) {
  const size = row.width && row.height ? `${row.width} × ${row.height}` : "";
  const line = [row.folder, size].filter(Boolean).join(" · ");
  article.append(row.after ? pair(row, row.after) : reason(row),
    element("div", { class: "text" }, button, element("span", { class: "figures" }, line), element("span", { class: "mark" })));
}

function open(row, index) {
  const stage = element("div", { class: "stage" });
  const full = row.full || row.after;
  if (full) {
    const box = pair(row, full);
    box.style.setProperty("--shape", row.width && row.height ? `${row.width} / ${row.height}` : "1");
    const tools = element("div", { class: "tools" });
    const enlarged = element("span");
    new ResizeObserver(([{ contentRect: { width, height } }]) => { // a small scan looks worse than it is
      const scale = Math.min(width / row.width, height / row.height);
      enlarged.textContent = scale > 1.05 ? `Enlarged ${scale.toFixed(1)} times.` : "";
    }).observe(box);
    if (row.full) {
      const actual = element("button", { type: "button", id: "actual", "aria-pressed": "false" }, "Actual size");
      actual.addEventListener("click", () => {
        const on = stage.classList.toggle("actual");
        actual.setAttribute("aria-pressed", String(on));
        box.style.width = on ? `${row.width}px` : "";
        box.style.height = on ? `${row.height}px` : "";
      });
      tools.append(actual, element("a", { href: row.full, target: "_blank", rel: "noopener" }, "Open file"),
        "Left: the lightness of the color image, identical to that of the photograph.", enlarged);
    } else {
      tools.append("Thumbnail only: browsers cannot display this file.");
    }
    stage.append(tools, box);
  } else {
    stage.append(reason(row, ...(row.after ? [] : remedy(row))));
  }
  const aside = element("aside");
  if (row.after) {
    aside.append(reviewPanel(index));
    queueMicrotask(() => fillPanel(row)); // once the viewer contains the panel
  }
  if (row.before) {
    aside.append(image(row.before, `${row.key}, photograph in the source`),
      element("p", { class: "note" }, row.is_color ? "Photograph in the source (in color)." : "Photograph in the source."));
  }
  aside.append(definitions([...row.facts, ...measureValues(row)]));
  return [stage, aside];
}

const gallery = startGallery({
  card,
  open,
  keys: { a: decideByKey("accept"), r: decideByKey("reject"), u: undoReview },
});
startReview();

// Four images of the first group, above everything that has to be read.
data.groups[0].rows.filter((index) => data.rows[index].after).slice(0, 4).forEach((index) => {
  const row = data.rows[index];
  const name = row.key.slice(row.key.lastIndexOf("/") + 1);
  const button = element("button", { type: "button", title: `Open ${row.key}` }, name);
  button.addEventListener("click", () => gallery.openRow(index));
  byId("preview").append(element("article", { "aria-label": `${row.key}, preview` }, pair(row, row.after), button));
});
