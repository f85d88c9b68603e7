"use strict";
// All text goes through textContent: prompts and names are anybody's.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const main = document.querySelector("main");
  const dialog = document.querySelector("dialog");
  const folded = data.prompts.map((text) => text.toLowerCase());
  let shown = []; // numbers of the pictures on the page, in its order
  let current = -1;

  const element = (name, properties = {}, ...inside) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...inside);
    return made;
  };

  // Pictures, inputs too, are decoded when they come near the window, and not before.
  const waits = new WeakMap();
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        near.unobserve(entry.target);
        entry.target.src = waits.get(entry.target);
      }
    }
  }, { rootMargin: "600px" });

  const picture = (one, alt) => {
    const image = element("img", { alt, width: one.width, height: one.height });
    waits.set(image, one.small);
    near.observe(image);
    return image;
  };

  const swept = new Set(data.sweeps.flatMap((sweep) => sweep.cells.flat()));

  const card = (number, place, captioned = true) => {
    const one = data.pictures[number];
    // As in the names of a sweep's files, and first: seeds that were drawn are long, and are cut.
    const short = swept.has(number) ? `s${one.strength} g${one.guidance}, ` : "";
    const about = `seed ${one.seed}, strength ${one.strength}, guidance ${one.guidance}`;
    const image = one.small
      ? picture(one, `${data.prompts[one.prompt]}, ${about}`)
      : element("div", { className: "none", textContent: "cannot be shown" });
    const made = element("button", { className: "card", type: "button", title: about }, image);
    if (captioned) {
      made.append(element("span", { textContent: data.prompts[one.prompt] }),
        element("span", { className: "quiet", textContent: `${short}seed ${one.seed}` }));
    }
    if (one.flagged) made.append(element("span", { className: "flag", textContent: "flagged" }));
    made.addEventListener("click", () => open(place));
    return made;
  };

  const source = (number, note) => {
    const input = data.inputs[number];
    const caption = element("figcaption", {}, element("strong", { textContent: input.name }));
    if (note) caption.append(element("br"), element("span", { className: "quiet", textContent: note }));
    const image = input.small
      ? picture(input, `Input ${input.name}`)
      : element("div", { className: "none", textContent: input.href ? "cannot be shown" : "input not found" });
    return element("figure", { className: "source" }, image, caption);
  };

  const isWanted = (one) => {
    const words = byId("search").value.toLowerCase();
    const flagged = byId("flagged").value;
    return folded[one.prompt].includes(words) && (!flagged || (one.flagged === true) === (flagged === "yes"));
  };

  const byInput = () => {
    const groups = new Map();
    data.pictures.forEach((one, number) => {
      if (!isWanted(one)) return;
      if (!groups.has(one.input)) groups.set(one.input, []);
      groups.get(one.input).push(number);
    });
    return [...groups].map(([input, numbers]) => {
      const cards = element("ul", { className: "cards" });
      for (const number of numbers) cards.append(element("li", {}, card(number, shown.push(number) - 1)));
      const count = numbers.length === 1 ? "1 picture" : `${numbers.length} pictures`;
      return element("section", {}, element("div", {}, source(input, count), cards));
    });
  };

  const bySweep = () => data.sweeps.flatMap((sweep) => {
    const wanted = (number) => number !== null && isWanted(data.pictures[number]);
    const first = data.pictures[sweep.cells.flat().find(wanted)];
    if (!first) return [];
    const head = element("tr", {}, element("th", { textContent: "strength \\ guidance" }),
      ...sweep.guidances.map((value) => element("th", { scope: "col", textContent: value })));
    const rows = sweep.cells.map((cells, row) => element("tr", {},
      element("th", { scope: "row", textContent: sweep.strengths[row] }),
      ...cells.map((number) => element("td", {}, ...(wanted(number) ? [card(number, shown.push(number) - 1, false)] : [])))));
    const note = `${data.prompts[first.prompt]} (seed ${first.seed})`;
    return [element("section", {}, element("div", {}, source(first.input, note),
      element("div", { className: "scroll" }, element("table", {}, head, ...rows))))];
  });

  const draw = () => {
    near.disconnect();
    shown = [];
    const sections = byId("view").value === "sweeps" ? bySweep() : byInput();
    main.replaceChildren(...sections);
    if (!sections.length) {
      const what = data.pictures.length ? "No picture matches." : "There are no pictures of sdops in this folder.";
      main.append(element("p", { textContent: what }));
    }
    byId("count").textContent = `${shown.length} of ${data.pictures.length}`;
  };

  const open = (place) => {
    current = place;
    const one = data.pictures[shown[place]];
    const input = data.inputs[one.input];
    const compare = document.querySelector(".compare");
    compare.style.aspectRatio = `${one.width} / ${one.height}`;
    compare.style.width = `min(100%, ${one.width * 1.5}px, calc(68vh * ${one.width / one.height}))`;
    const after = byId("after");
    after.alt = data.prompts[one.prompt];
    after.onerror = () => { after.onerror = null; after.src = one.small ?? ""; };
    after.src = one.href;
    byId("before").hidden = byId("slide").parentElement.hidden = !input.small;
    byId("before").src = input.small ?? "";
    byId("before").alt = `Input ${input.name}`;
    slide(0);
    byId("title").textContent = data.prompts[one.prompt];
    const facts = {
      "File": one.name, "Input": input.name, "Not": one.negative, "Seed": one.seed, "Strength": one.strength,
      "Guidance": one.guidance, "Steps": one.steps, "Size": `${one.width}x${one.height}`, "Model": one.model,
      "Made on": [one.host, one.device].filter(Boolean).join(", "),
      "Seconds": one.seconds,
      "Flagged": { true: "yes, by the model's safety filter", false: "no", null: "not checked" }[one.flagged],
    };
    const list = document.querySelector("dl");
    list.replaceChildren();
    for (const [name, value] of Object.entries(facts)) {
      if (value !== null && value !== "") list.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    }
    // A line of it ends between words, and not within an option. What is very long may be broken.
    byId("command").replaceChildren(...one.command.split(" ").flatMap((word, number) => [
      number ? " " : "", element("span", { className: word.length < 30 ? "word" : "", textContent: word })]));
    byId("copy").textContent = "Copy the command";
    byId("open").href = one.href;
    byId("previous").disabled = place === 0;
    byId("next").disabled = place === shown.length - 1;
    if (!dialog.open) {
      dialog.showModal();
      byId("slide").focus();
    } else if (document.activeElement === document.body || document.activeElement.disabled) {
      byId("slide").focus(); // no key is lost at the first and the last picture
    }
  };

  const slide = (value) => {
    byId("slide").value = value;
    byId("slide").setAttribute("aria-valuetext", `${value}% input, ${100 - value}% output`);
    document.querySelector(".compare").style.setProperty("--at", `${value}%`);
  };

  const turn = (by) => {
    if (shown[current + by] !== undefined) open(current + by);
  };

  const copy = async () => {
    const text = byId("command").textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages that are read from a disk may not be let to in some browsers.
      const range = document.createRange();
      range.selectNodeContents(byId("command"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      if (!document.execCommand("copy")) return;
    }
    byId("copy").textContent = "Copied";
  };

  document.title = `${data.title} - sdops gallery`;
  document.querySelector("h1").textContent = data.title;
  byId("prompts").append(...data.prompts.slice(0, 200).map((text) => element("option", { value: text })));
  byId("view-choice").hidden = !data.sweeps.length;
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  let waiting = 0;
  byId("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 150);
  });
  byId("flagged").addEventListener("change", draw);
  byId("view").addEventListener("change", draw);
  byId("slide").addEventListener("input", (event) => slide(event.target.value));
  byId("copy").addEventListener("click", copy);
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    const cards = main.querySelectorAll(".card");
    cards[current]?.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (dialog.open) {
      const sliding = event.target === byId("slide") && !event.shiftKey;
      if (event.key === "n" || event.key === "PageDown" || (event.key === "ArrowRight" && !sliding)) turn(1);
      else if (event.key === "p" || event.key === "PageUp" || (event.key === "ArrowLeft" && !sliding)) turn(-1);
      else return;
      event.preventDefault();
    } else if (event.key === "/" && event.target !== byId("search")) {
      byId("search").focus();
      event.preventDefault();
    }
  });
  draw();
})();
