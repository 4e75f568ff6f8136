"use strict";
// Figures and tables are packed in the page; what is near the view is drawn, and all of it before printing.
(() => {
  const one = (query, from = document) => from.querySelector(query);
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  const night = matchMedia("(prefers-color-scheme: dark)");
  const dark = JSON.parse(one("#dark").textContent);
  let printing = false;
  /** Height of a figure that fits a sheet of paper with its legend and caption, where it is 680 wide. */
  const SHEET = 720;

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(one(id).textContent), letter => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // -- saving as CSV

  /** Text that a spreadsheet would take for a formula gets an apostrophe before it, as in kernel_collapse._text.for_csv. */
  const formula = /^'*[=+\-@＝＋－＠]/, number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^[+-]?(inf|nan)$/i;
  const safe = value => typeof value === "string" && formula.test(value) && !number.test(value) ? `'${value}` : String(value ?? "");

  function save(name, rows) {
    const quoted = value => /[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
    const text = rows.map(row => row.map(value => quoted(safe(value))).join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
    link.download = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 80) + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const plain = html => typeof html !== "string" ? html  // in a span, for a page drops the blanks that it begins with
    : new DOMParser().parseFromString(`<span>${html.replaceAll("<br>", ", ")}</span>`, "text/html").body.textContent;

  /** The name of a picture's column or row, or its middle where its edges are known. */
  const cellAt = (trace, which, i, cells) => plain(String(trace.meta.names?.[which]?.[i] ?? "")) ||
    (trace[which].length > cells ? (trace[which][i] + trace[which][i + 1]) / 2 : trace[which][i]);

  function rowsOf(figure) {
    const columns = ["panel", "line", "x_label", "y_label", "name", "x", "y", "low", "high", "value"];
    const rows = [];
    for (const trace of figure.data.filter(trace => trace.hoverinfo !== "skip")) {
      const panel = figure.panels[trace.meta.panel];
      const start = {panel: plain(panel.name), line: plain(trace.meta.group), x_label: plain(panel.xaxis.label),
        y_label: plain(panel.yaxis.label)};
      const known = trace.meta.columns ?? [];
      if (trace.type === "heatmap")
        trace.z.forEach((line, i) => line.forEach((value, j) =>
          rows.push({...start, x: cellAt(trace, "x", j, line.length), y: cellAt(trace, "y", i, trace.z.length), value})));
      else
        trace.x.forEach((x, i) => rows.push({...start, x, y: trace.y[i],
          ...Object.fromEntries(known.map((name, k) => [name, plain(trace.customdata[i][k])]))}));
    }
    const used = columns.filter(name => rows.some(row => row[name] != null && row[name] !== ""));
    return [used, ...rows.map(row => used.map(name => row[name]))];
  }

  // -- figures

  const onSide = (state, trace) => state.side === "both" || !trace.meta.side || trace.meta.side === state.side;
  const keyOf = name => `${name[0]}axis${name.slice(1)}`;
  const tint = colour => night.matches && !printing ? dark[colour] ?? colour : colour;

  function tinted(value, key) {
    if (typeof value === "string") return value[0] === "#" ? tint(value) : value;
    if (value === null || typeof value !== "object" || key === "colorscale" || key === "customdata") return value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(item => tinted(item));
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, tinted(item, name)]));
  }

  /** Place the panels that have something to show in as many columns as fit, and give each the labels it needs. */
  function arrange(state, width) {
    const {figure} = state;
    const shown = figure.panels
      .map((panel, number) => ({...panel, number}))
      .filter(({number}) => figure.data.some(trace => trace.meta.panel === number && onSide(state, trace)));
    const most = (panels, size) => Math.max(0, ...panels.map(size));
    const texts = axis => axis.ticktext ?? [];
    const right = 10;
    const beside = 30 + Math.max(30, Math.min(130, 6.6 * most(shown, p => most(texts(p.yaxis), text => text.length))));
    const wanted = new Set(shown.map(panel => panel.column)).size;
    const fit = Math.max(1, Math.min(wanted, Math.floor((width - beside) / figure.least)));
    const columns = Math.ceil(wanted / Math.ceil(wanted / fit));  // as even as can be
    let last = null;
    for (const panel of shown) {
      const next = last && last.place === panel.row && last.col + 1 < columns;
      panel.place = panel.row;
      panel.row = last ? last.row + !next : 0;
      panel.col = next ? last.col + 1 : 0;
      if (columns < wanted) panel.title ||= panel.name;
      last = panel;
    }
    for (const panel of shown) {
      const left = shown.find(p => p.row === panel.row && p.col === panel.col - 1);
      const below = shown.find(p => p.row === panel.row + 1 && p.col === panel.col);
      panel.showY = !left || left.yaxis.share !== panel.yaxis.share;
      panel.showX = !below || below.xaxis.share !== panel.xaxis.share;
    }
    const yspace = p => !p.showY ? 12 : 10 + (p.yaxis.label ? 20 * p.yaxis.label.split("<br>").length : 0)
      + Math.max(30, Math.min(130, 6.6 * most(texts(p.yaxis), text => text.length)));
    const lefts = Array.from({length: columns}, (_, c) => most(shown.filter(p => p.col === c), yspace));
    const across = (width - lefts.reduce((a, b) => a + b, 0) - right * columns) / columns;
    for (const panel of shown) panel.title = folded(panel.title, across + 8);
    const rows = Array.from({length: last.row + 1}, (_, r) => {
      const panels = shown.filter(p => p.row === r);
      const lines = most(panels, p => p.title ? p.title.split("<br>").length : 0);
      return {top: 8 + 16 * lines, bottom: most(panels, p => p.showX ? 24 + (p.xaxis.label && !figure.xlabel ? 20 : 0) : 6)};
    });
    const tall = shown.some(p => texts(p.yaxis).length > 8);
    let down = Math.max(190, Math.min(figure.height, tall ? 640 : 420));
    if (shown.some(p => p.square)) down = Math.min(down, across);
    const scale = figure.data.some(trace => trace.showscale) ? 62 : 0;
    const height = rows.reduce((sum, row) => sum + row.top + down + row.bottom, scale + (figure.xlabel ? 24 : 0));
    for (const panel of shown) {
      const x = lefts.slice(0, panel.col + 1).reduce((a, b) => a + b, 0) + panel.col * (across + right);
      const y = rows.slice(0, panel.row).reduce((sum, row) => sum + row.top + down + row.bottom, rows[panel.row].top);
      panel.domain = {x: [x / width, (x + across) / width], y: [1 - (y + down) / height, 1 - y / height]};
    }
    return {shown, width, height, scale};
  }

  /** Break a title that is too long for its panel at the space that is nearest to its middle. */
  function folded(title, width) {
    const length = plain(title).length;
    if (title.includes("<br>") || 6.4 * length < width) return title;
    const spaces = [...title.matchAll(/ (?![^<]*>)/g)].map(found => found.index);
    const middle = spaces.sort((a, b) => Math.abs(a - title.length / 2) - Math.abs(b - title.length / 2))[0];
    return middle ? `${title.slice(0, middle)}<br>${title.slice(middle + 1)}` : title;
  }

  /** The scale of an axis, as the switches are. */
  function typeOf(state, panel, which) {
    const {type, other} = panel[which];
    return state.turned[which] && other ? (type === "log" ? "linear" : "log") : type;
  }

  /** Where ticks are: powers of ten (which Plotly writes larger) on logarithmic axes of many decades. */
  function ticksOf(type, [low, high]) {
    const decades = Math.abs(high - low);
    if (type !== "log") return {nticks: 6};
    if (decades >= 3) return {nticks: 5, exponentformat: "power", tickfont: {size: 9.5}};
    return {tickformat: "~g", ...(decades >= 1 ? {dtick: "D2"} : {nticks: 6})};
  }

  function layoutOf(state, {shown, width, height, scale}) {
    const css = getComputedStyle(document.documentElement);
    const [ink, soft, line, paper] = ["ink", "soft", "line", "paper"].map(name => css.getPropertyValue(`--${name}`).trim());
    const layout = {
      width, height, margin: {l: 0, r: 0, t: 0, b: 0}, showlegend: false, barmode: "overlay", hovermode: "closest", annotations: [], shapes: [],
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      font: {family: "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif", size: 12, color: ink},
      hoverlabel: {bgcolor: paper, bordercolor: soft, font: {color: ink, size: 12}, align: "left", namelength: -1},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink},
    };
    for (const panel of shown) {
      const [x, y] = [panel.xaxis.name, panel.yaxis.name];
      for (const [which, other] of [["xaxis", y], ["yaxis", x]]) {
        const axis = panel[which];
        const turned = state.turned[which] && axis.other;
        const labelled = which === "xaxis" ? panel.showX : panel.showY;
        const first = shown.find(p => p[which].share === axis.share);
        const type = typeOf(state, panel, which);
        layout[keyOf(axis.name)] = {
          domain: panel.domain[which[0]], anchor: other, type, range: turned ? axis.other : axis.range,
          ...(first.number !== panel.number ? {matches: first[which].name} : {}),
          tickfont: {size: 11},
          ...(axis.tickvals && !turned ? {tickmode: "array", tickvals: axis.tickvals, ticktext: axis.ticktext}
            : ticksOf(type, turned ? axis.other : axis.range)),
          title: {text: labelled && !(state.figure.xlabel && which === "xaxis") ? axis.label : "", font: {size: 12, color: ink}, standoff: 4},
          showticklabels: labelled, tickcolor: soft, tickangle: 0,
          showgrid: axis.grid, gridcolor: line, zeroline: false, showline: true, linecolor: soft, automargin: false, ticks: "",
          ...(panel.square ? {constrain: "domain", ...(which === "yaxis" ? {scaleanchor: x} : {})} : {}),  // the ranges stay
        };
      }
      const inside = {xref: `${x} domain`, yref: `${y} domain`, showarrow: false};
      if (panel.title)
        layout.annotations.push({...inside, text: panel.title, x: 0.5, y: 1, yanchor: "bottom", yshift: 1,
          font: {size: 12, color: panel.color ? tint(panel.color) : ink}});
      for (const text of panel.texts) layout.annotations.push({...inside, ...tinted(text)});
      for (const span of panel.spans)
        layout.shapes.push({type: "rect", xref: `${x} domain`, x0: 0, x1: 1, yref: y, line: {width: 0}, layer: "below", ...span, fillcolor: span.fillcolor === "#000000" ? soft : tint(span.fillcolor)});
    }
    if (state.figure.xlabel)
      layout.annotations.push({text: state.figure.xlabel, xref: "paper", yref: "paper", x: 0.5, y: (scale + 2) / height,
        yanchor: "bottom", showarrow: false});
    return layout;
  }

  function draw(state) {
    state.plot.style.zoom = "";  // before its width is asked for
    const width = printing ? 680 : Math.floor(state.plot.clientWidth);
    if (!width || !window.Plotly) return;
    const place = arrange(state, width);
    const traces = state.figure.data
      .filter(trace => onSide(state, trace))
      .map(trace => ({...tinted(trace), visible: !state.hidden.has(trace.meta.group)}));
    for (const trace of traces.filter(trace => trace.showscale))
      trace.colorbar = {...trace.colorbar, orientation: "h", x: 0.5, xanchor: "center", y: 0, yanchor: "bottom", len: 0.6,
        thickness: 10, ypad: 4, title: {...trace.colorbar.title, side: "top"}};
    state.plot.style.height = `${place.height}px`;
    if (printing) state.plot.style.zoom = Math.min(1, SHEET / place.height);
    Plotly.react(state.plot, traces, layoutOf(state, place), {
      displaylogo: false, doubleClick: "reset", toImageButtonOptions: {filename: state.name},
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    });
    all(".main-svg", state.plot).forEach(svg => svg.setAttribute("aria-hidden", "true"));  // the label says what is seen
    state.width = width;
    state.drawn = true;
  }

  const shapes = {
    circle: "M5 0a5 5 0 1 0 .01 0z", square: "M.5 .5h9v9h-9z", diamond: "M5-1 11 5 5 11-1 5z", "triangle-up": "M5-.5 10.5 9.5h-11z",
    "triangle-down": "M5 10.5-.5 .5h11z", x: "M0 2 2 0 5 3 8 0 10 2 7 5 10 8 8 10 5 7 2 10 0 8 3 5z", cross: "M3.5 0h3v3.5H10v3H6.5V10h-3V6.5H0v-3h3.5z",
    star: "M5-1 6.5 3.5H11L7.3 6.2 8.7 10.8 5 8 1.3 10.8 2.7 6.2-1 3.5H3.5z", hexagon: "M5-.5 10 2.2v5.6L5 10.5 0 7.8V2.2z",
    "diamond-tall": "M5-1 8.5 5 5 11 1.5 5z", "x-thin": "M1 1 9 9M9 1 1 9",
  };

  function swatch({color, line, marker}) {
    const colour = tint(color);
    const dashes = line?.dash ? ` stroke-dasharray="${line.dash.replaceAll("px", "")}"` : "";
    const symbol = marker?.symbol ?? "";
    const shape = shapes[symbol.replace("-open", "")] ?? shapes.circle;
    return `<svg width="30" height="14" aria-hidden="true">`
      + (line ? `<path d="M1 7H29" stroke="${colour}" stroke-width="${Math.min(line.width, 4)}"${dashes}/>` : "")
      + (marker ? `<path transform="translate(10.5 2.5) scale(.9)" d="${shape}" stroke="${tint(marker.line?.color ?? color)}"
          stroke-width="1.5" fill="${symbol.endsWith("-open") ? "none" : tint(marker.color)}"/>` : "") + "</svg>";
  }

  function drawLegend(state) {
    const legend = one(".legend", state.box);
    legend.innerHTML = "";
    let title = "";
    for (const entry of state.figure.legend) {
      if (entry.title !== title) legend.insertAdjacentHTML("beforeend", `<span class="of">${title = entry.title}</span>`);
      const item = document.createElement(entry.key ? "span" : "button");
      item.innerHTML = `${swatch(entry)}<span>${entry.name}</span>`;
      legend.append(item);
      if (entry.key) {
        item.className = "key";
        continue;
      }
      item.type = "button";
      item.ariaPressed = !state.hidden.has(entry.name);
      item.addEventListener("click", () => {
        if (!state.hidden.delete(entry.name)) state.hidden.add(entry.name);
        item.ariaPressed = !state.hidden.has(entry.name);
        draw(state);
      });
    }
  }

  function addControls(state) {
    const controls = one(".controls", state.box);
    if (state.figure.data.some(trace => trace.meta.side === "published")) {
      const choices = [["both", "both"], ["right", "right"], ["published", "published code"]].map(([value, words]) =>
        `<label><input type="radio" name="side-${state.number}" value="${value}"${value === "both" ? " checked" : ""}>${words}</label>`);
      controls.insertAdjacentHTML("beforeend", `<fieldset><legend>Show</legend>${choices.join("")}</fieldset>`);
      one("fieldset", controls).addEventListener("change", event => {
        state.side = event.target.value;
        draw(state);
      });
    }
    for (const which of ["xaxis", "yaxis"]) {
      const axes = state.figure.panels.map(panel => panel[which]).filter(axis => axis.other);
      if (!axes.length) continue;
      const scale = axes.some(axis => axis.type === "log") ? "linear" : "logarithmic";
      controls.insertAdjacentHTML("beforeend",
        `<label><input type="checkbox" data-turn="${which}">${which[0]} axis ${scale}</label>`);
      controls.lastElementChild.addEventListener("change", event => {
        state.turned[which] = event.target.checked;
        draw(state);
      });
    }
    one("[data-csv]", state.box).addEventListener("click", () => save(state.name, rowsOf(state.figure)));
  }

  /** Open what paper cannot open, figures and reasons of verdicts, and close it again. */
  function unfold(now) {
    for (const fold of all(now ? "details:is(.more, .why):not([open])" : "details[data-unfolded]")) {
      fold.open = now;
      fold.toggleAttribute("data-unfolded", now);
    }
  }

  async function startFigures() {
    const boxes = all("figure[data-figure]");
    if (!boxes.length) return;
    const figures = JSON.parse(await unpack("#packed-figures"));
    const states = boxes.map((box, number) => ({number, name: box.dataset.figure, figure: figures[box.dataset.figure],
      box, plot: one(".plot", box), hidden: new Set(), side: "both", turned: {}}));
    for (const state of states) {
      addControls(state);
      drawLegend(state);
      state.plot.style.height = `${arrange(state, state.plot.clientWidth || 680).height}px`;
    }
    const script = document.createElement("script");
    script.textContent = await unpack("#packed-plotly");
    document.head.append(script);
    const near = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
      near.unobserve(entry.target);
      const state = states.find(state => state.plot === entry.target);
      if (!state.drawn) draw(state);
    }), {rootMargin: "600px"});
    const again = some => some.forEach(state => {  // those near the view at once
      state.drawn = false;
      near.unobserve(state.plot);
      near.observe(state.plot);
    });
    again(states);
    night.addEventListener("change", () => (states.forEach(drawLegend), again(states)));
    for (const fold of all("details.more"))  // what is folded has no width to be drawn in
      fold.addEventListener("toggle", () => again(states.filter(state => fold.contains(state.plot) && !state.drawn)));
    let waiting;
    addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => again(states.filter(state => state.width !== Math.floor(state.plot.clientWidth))), 150);
    });
    const print = now => () => {
      printing = now;
      document.documentElement.classList.toggle("printing", now);
      unfold(now);
      states.forEach(drawLegend);
      if (now) states.forEach(draw);
      else again(states);
    };
    addEventListener("beforeprint", print(true));
    addEventListener("afterprint", print(false));
  }

  // -- tables, contents, verdicts

  function cell(value, numeric) {
    const number = typeof value === "number";
    const text = value === null ? "–" : number && !Number.isInteger(value) ? String(+value.toPrecision(4)) : String(value);
    const item = document.createElement("td");
    item.textContent = number ? text.replaceAll("-", "−") : text;
    if (!numeric) item.className = "text";
    return item;
  }

  async function startTables() {
    const tables = JSON.parse(await unpack("#packed-tables"));
    for (const button of all("button[data-csv]").filter(button => button.dataset.csv))
      button.addEventListener("click", () => {
        const {title, columns, rows} = tables[button.dataset.csv];
        save(title, [columns, ...rows]);
      });
    for (const table of all("table[data-rows]")) {
      const fill = () => {
        const {numeric, rows} = tables[table.dataset.rows];
        const body = one("tbody", table);
        if (!body.rows.length)
          for (const row of rows) body.insertRow().append(...row.map((value, i) => cell(value, numeric[i])));
      };
      const box = table.closest("details");
      if (box && !box.open) box.addEventListener("toggle", fill);
      else fill();
    }
  }

  function startNavigation() {
    const contents = one("nav > details");
    const wide = matchMedia("(min-width: 1400px)");
    const fit = () => contents.open = wide.matches;
    fit();
    wide.addEventListener("change", fit);
    contents.addEventListener("click", event => event.target.closest("a") && !wide.matches && (contents.open = false));
    const buttons = all(".counts button");
    for (const button of buttons)
      button.addEventListener("click", () => {
        const alone = button.ariaPressed !== "true";
        buttons.forEach(other => other.ariaPressed = alone && other === button);
        for (const item of all(".verdicts li:not(.counts li)"))
          item.hidden = alone && !one(`.${button.className}`, item);
        for (const part of all(".verdicts > details")) {
          part.hidden = all("li", part).every(item => item.hidden);
          part.open = alone && !part.hidden;
        }
      });
  }

  startNavigation();
  if (!("DecompressionStream" in window))  // an old browser gets what one without scripts does
    all("figure noscript").forEach(still => still.insertAdjacentHTML("afterend", still.textContent));
  else startFigures().then(startTables);
})();
