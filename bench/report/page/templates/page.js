"use strict";
// What the page does when it is touched: sort, show seeds, open runs, switch curves, read them, light and dark.
// Every text is set as text, never as HTML; nodes are copied from what the page already holds.
(() => {
  const root = document.documentElement;
  const all = (what, within = document) => [...within.querySelectorAll(what)];
  const tip = document.getElementById("tip");
  const said = document.getElementById("said");
  root.classList.add("js");

  // --- light and dark ------------------------------------------------------------------------------------------
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const remember = (name) => {
    try { localStorage.setItem("seqbench-theme", name); } catch { /* a file may have no storage */ }
  };
  const remembered = () => {
    try { return localStorage.getItem("seqbench-theme"); } catch { return null; }
  };
  function showTheme() { // a button says what pressing it does
    const next = isDark() ? "Light" : "Dark";
    theme.textContent = next;
    theme.setAttribute("aria-label", `${next}: change to the ${next.toLowerCase()} theme`);
  }
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    showTheme();
  });
  system.addEventListener("change", showTheme);
  showTheme();

  // --- sorting -------------------------------------------------------------------------------------------------
  const collator = new Intl.Collator("en", { numeric: true });
  const textOf = (cell) => (cell.querySelector(".part, .badge") || cell).textContent.trim();
  const numberOf = (text) => {
    const plain = text.replace("−", "-").replace("∞", "Infinity");
    return /^[+-]?(\d|\.\d|Infinity)/.test(plain) ? parseFloat(plain) : NaN;
  };
  function keysOf(rows, column) {
    const cells = rows.map((row) => row.cells[column]);
    if (cells.some((cell) => "order" in cell.dataset)) {
      return cells.map((cell) => (cell.dataset.order ? Number(cell.dataset.order) : null));
    }
    const texts = cells.map((cell) => (textOf(cell) === "–" ? null : textOf(cell)));
    const numbers = texts.map((text) => (text === null ? null : numberOf(text)));
    return numbers.some(Number.isNaN) ? texts : numbers;
  }
  function compare(one, other) {
    return typeof one === "number" ? one - other : collator.compare(one, other);
  }
  function sort(heading) {
    const table = heading.closest("table");
    closeIn(table);
    const body = table.tBodies[0];
    const rows = [...body.rows];
    if (!table.rowsAsMade) table.rowsAsMade = rows;
    const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
    all("th[aria-sort]", table.tHead).forEach((other) => other.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", next);
    let order = [...table.rowsAsMade];
    if (next !== "none") {
      const keys = keysOf(order, heading.cellIndex);
      const sign = next === "ascending" ? 1 : -1;
      const places = order.map((_, place) => place).sort((a, b) => {
        if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null) || a - b;
        return sign * compare(keys[a], keys[b]) || a - b;
      });
      order = places.map((place) => order[place]);
    }
    body.append(...order);
    say(`sorted by ${heading.textContent.trim()}: ${next === "none" ? "as it was" : next}`);
  }

  // --- the runs of a cell, below it ----------------------------------------------------------------------
  const narrow = matchMedia("(max-width: 40rem)");
  narrow.addEventListener("change", () => all(".scores").forEach(closeIn));
  function closeIn(table) {
    all(".expansion", table).forEach((one) => one.remove());
    all("[aria-expanded=true]", table).forEach((button) => button.setAttribute("aria-expanded", "false"));
  }
  function closeButton(button) {
    const close = document.createElement("button");
    close.type = "button";
    close.className = "close";
    close.textContent = "Close";
    close.addEventListener("click", () => {
      closeIn(button.closest("table"));
      button.focus();
    });
    return close;
  }
  function expand(button) {
    const table = button.closest("table");
    const wasOpen = button.getAttribute("aria-expanded") === "true";
    closeIn(table);
    if (wasOpen) return;
    hideTip();
    const panel = document.createElement("div");
    panel.className = "panel";
    const seeds = seedsOf(button).cloneNode(true);
    seeds.removeAttribute("id");
    seeds.hidden = false;
    const runs = document.getElementById(button.dataset.cell).querySelector(".body").cloneNode(true);
    panel.append(closeButton(button), seeds, ...runs.childNodes);
    if (narrow.matches) { // a line is a block then, and the panel stands right below its score
      panel.classList.add("expansion");
      button.closest("td").append(panel);
    } else {
      const line = button.closest("tr");
      const row = document.createElement("tr");
      row.className = "expansion";
      const cell = row.insertCell();
      cell.colSpan = line.cells.length;
      cell.append(panel);
      line.after(row);
    }
    button.setAttribute("aria-expanded", "true");
    reachable();
  }

  // --- what is shown beside the pointer, the finger or the focus -------------------------------------------------
  const seedsOf = (button) => document.getElementById(button.getAttribute("aria-describedby"));
  function showTip(nodes, left, top, bottom) {
    tip.replaceChildren(...nodes);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const x = Math.max(8, Math.min(left, root.clientWidth - box.width - 8));
    const below = bottom + 6 + box.height < innerHeight;
    tip.style.left = `${x}px`;
    tip.style.top = `${below ? bottom + 6 : Math.max(8, top - 6 - box.height)}px`;
  }
  function hideTip() {
    tip.hidden = true;
    all(".cursor").forEach((line) => line.setAttribute("visibility", "hidden"));
  }
  function showSeeds(button) {
    if (button.getAttribute("aria-expanded") === "true") return;
    const box = button.getBoundingClientRect();
    showTip([...seedsOf(button).cloneNode(true).childNodes], box.left, box.top, box.bottom);
  }
  function say(text) {
    said.textContent = text;
  }

  // --- curves --------------------------------------------------------------------------------------------------
  const values = JSON.parse(document.getElementById("values").textContent);
  const inSeconds = (svg) => svg.closest("section").dataset.axis === "seconds" && svg.querySelector(".view.seconds");
  const axisOf = (svg) => (inSeconds(svg) ? 1 : 0);
  function read(svg, x) {
    const section = svg.closest("section");
    const axis = axisOf(svg);
    const shown = all(".model", section).filter((button) => button.getAttribute("aria-pressed") === "true");
    const names = new Set(shown.map((button) => button.dataset.label));
    const lines = values[svg.id].filter((one) => names.has(one.model) && one.points.length);
    if (!lines.length) return null;
    const nearest = (points) => points.reduce((a, b) => (Math.abs(b[0][axis] - x) < Math.abs(a[0][axis] - x) ? b : a));
    const found = lines.map((line) => ({ model: line.model, point: nearest(line.points) }));
    const place = found.map((one) => one.point[0][axis]).reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));
    const counts = new Set(found.map((one) => one.point[3])); // epochs or steps
    const { unit } = svg.dataset;
    const heading = document.createElement("b");
    heading.textContent = counts.size === 1 ? `${unit} ${[...counts][0]}` : "";
    const list = document.createElement("ul");
    for (const { model, point: [, , score, count, ...seconds] } of found) {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = model;
      const beside = counts.size === 1 ? [] : [`${unit} ${count}`];
      item.append(name, ` ${[score, ...beside, ...seconds].join(", ")}`);
      list.append(item);
    }
    hideTip();
    const cursor = svg.querySelector(".cursor");
    cursor.setAttribute("x1", place);
    cursor.setAttribute("x2", place);
    cursor.setAttribute("visibility", "visible");
    const box = svg.getBoundingClientRect();
    const left = box.left + (place / svg.viewBox.baseVal.width) * box.width;
    showTip([heading, list], left + 10, box.top, box.bottom - 8);
    svg.dataset.at = place;
    return tip.innerText;
  }
  function step(svg, by) {
    const axis = axisOf(svg);
    const places = [...new Set(values[svg.id].flatMap((one) => one.points.map((point) => point[0][axis])))];
    places.sort((a, b) => a - b);
    if (!places.length) return;
    const at = "at" in svg.dataset ? places.findIndex((place) => place >= Number(svg.dataset.at)) : -1;
    const next = Math.max(0, Math.min(places.length - 1, (at < 0 ? (by > 0 ? -1 : places.length) : at) + by));
    say(read(svg, places[next]) || "");
  }
  for (const svg of all("svg.curves")) {
    const pointed = (event) => {
      const box = svg.getBoundingClientRect();
      read(svg, ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width);
    };
    svg.addEventListener("pointermove", pointed);
    svg.addEventListener("pointerdown", pointed);
    svg.addEventListener("pointerleave", hideTip);
    svg.addEventListener("blur", hideTip);
    svg.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by) {
        event.preventDefault();
        step(svg, by);
      }
    });
  }
  for (const button of all(".model")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(shown));
      const lines = all(`g[data-model="${button.dataset.model}"]`, button.closest("section"));
      lines.forEach((line) => line.classList.toggle("off", !shown));
    });
  }
  for (const choice of all("input[type=radio]")) {
    const apply = () => {
      if (choice.checked) choice.closest("section").dataset.axis = choice.value;
    };
    choice.addEventListener("change", apply);
    apply(); // a browser may have kept the choice of before
  }

  // --- who does what -------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".sort")) sort(button.closest("th"));
    if (button.matches(".score")) expand(button);
    if (button.matches(".all")) {
      const open = button.getAttribute("aria-expanded") !== "true";
      all("details.cell", button.closest("section")).forEach((one) => { one.open = open; });
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Close all" : "Open all";
    }
    if (button.matches(".copy")) {
      const text = button.parentElement.querySelector("code").textContent;
      const done = (word) => { button.textContent = word; say(word); };
      if (!navigator.clipboard) return done("Select and copy it by hand");
      navigator.clipboard.writeText(text).then(() => done("Copied"), () => done("Select and copy it by hand"));
    }
  });
  for (const button of all(".score")) {
    button.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") showSeeds(button); });
    button.addEventListener("focus", () => showSeeds(button));
    button.addEventListener("blur", hideTip);
    button.addEventListener("pointerleave", hideTip);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", () => { if (!tip.matches(":hover")) hideTip(); }, { passive: true, capture: true });

  // --- boxes that scroll are reached by the keyboard; links open what they lead to; a print has all open ---------
  function reachable() {
    for (const box of all(".scroll")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);
  reachable();
  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.matches("details")) target.open = true;
  }
  addEventListener("hashchange", openTarget);
  openTarget();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    closed.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
})();
