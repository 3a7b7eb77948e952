// Page of an archive: every image has a before/after slider and opens with its row.

// Before is the thumbnail of the source, or, at other sizes, the lightness of the color image, which equals the photograph's.
function pair(row, source) {
  const ofSource = row.before && source === row.after;
  const before = ofSource ? image(row.before, "") : image(source, "", { class: "lightness" });
  const names = [ofSource ? "source" : "lightness", "color"];
  return compare(before, image(source, `${row.key}, color image`), `Before and after: ${row.key}`, names);
}

function reason(row) {
  const status = element("span", { class: "status bad" }, row.status);
  return element("div", { class: "blank" }, status, element("span", {}, row.error || row.thumbnail_error || ""));
}

function card(row, article, button) {
  const [first] = measureValues(row);
  const line = [row.folder, first && `${first[0].toLowerCase()} ${first[1]}`].filter(Boolean).join(" · ");
  article.append(row.after ? pair(row, row.after) : reason(row),
    element("div", { class: "text" }, button, element("span", { class: "figures" }, line)));
}

function open(row) {
  const stage = element("div", { class: "stage" });
  const full = row.full || row.after;
  if (full) {
    const box = pair(row, full);
    box.style.setProperty("--shape", row.width && row.height ? `${row.width} / ${row.height}` : "1");
    const tools = element("div", { class: "tools" });
    if (row.full) {
      const actual = element("button", { type: "button", id: "actual", "aria-pressed": "false" }, "Actual size");
      actual.addEventListener("click", () => {
        const on = stage.classList.toggle("actual");
        actual.setAttribute("aria-pressed", String(on));
        box.style.width = on ? `${row.width}px` : "";
        box.style.height = on ? `${row.height}px` : "";
      });
      tools.append(actual, element("a", { href: row.full, target: "_blank", rel: "noopener" }, "Open file"),
        "The lightness side is computed from the color image; it equals the photograph's.");
    } else {
      tools.append("Thumbnail only: browsers cannot display this file.");
    }
    stage.append(tools, box);
  } else {
    stage.append(reason(row));
  }
  const aside = element("aside");
  if (row.before) {
    aside.append(image(row.before, `${row.key}, photograph in the source`),
      element("p", { class: "note" }, row.is_color ? "Photograph in the source (in color)." : "Photograph in the source."));
  }
  aside.append(definitions([...row.facts, ...measureValues(row)]));
  return [stage, aside];
}

startGallery({ card, open });
