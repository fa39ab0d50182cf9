"use strict"
// Texts are set as text nodes only, so that HTML in a document or a query is shown and never run.

const $ = id => document.getElementById(id)
const number = new Intl.NumberFormat("en", {maximumSignificantDigits: 4})
const time = milliseconds => `${milliseconds.toFixed(1)} ms`
const percent = share => `${Math.round(100 * share)}%`

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

async function send(path, body) {
  const response = await fetch(path, body && {method: "POST", body: JSON.stringify(body)}).catch(() => {
    throw new Error("The server does not answer; is nordic-sparse search --serve still running?")
  })
  const answer = await response.json().catch(() => ({error: `The server answered ${response.status}.`}))
  if (answer.error) throw new Error(answer.error)
  return answer
}

function say(text, bad = false) {
  $("status").textContent = text
  $("status").classList.toggle("bad", bad)
}

// What a term weighs is shown on hover, on a tap, and when the keyboard reaches it.
function noted(made, note) {
  made.dataset.note = note
  for (const event of ["pointerenter", "focus", "click"]) made.addEventListener(event, () => show(made))
  for (const event of ["pointerleave", "blur"]) made.addEventListener(event, hide)
  return made
}

function show(target) {
  const box = $("note"), {left, bottom, top} = target.getClientRects()[0]
  box.textContent = target.dataset.note
  box.hidden = false
  const below = bottom + 4 + box.offsetHeight < innerHeight
  box.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - box.offsetWidth - 4))}px`
  box.style.top = `${below ? bottom + 4 : top - 4 - box.offsetHeight}px`
}

function hide() {
  $("note").hidden = true
}

function chip(term, share, note) {
  const made = noted(element("button", {type: "button", textContent: term.name + (term.expansion ? " +" : "")}), note)
  made.setAttribute("aria-label", `${term.name}, ${note}`)
  made.style.setProperty("--width", percent(share))
  return made
}

// Tab reaches a list of terms once; the arrow keys move in it.
function list(label, made, tag = "p") {
  made.forEach((one, place) => { one.tabIndex = place ? -1 : 0 })
  const group = element(tag, {className: "terms"}, ...made)
  group.setAttribute("role", "group")
  group.setAttribute("aria-label", label)
  group.addEventListener("keydown", event => {
    const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key]
    const next = step && made[made.indexOf(document.activeElement) + step]
    if (!next) return
    event.preventDefault()
    document.activeElement.tabIndex = -1
    next.tabIndex = 0
    next.focus()
  })
  return group
}

function chips(terms, used = terms.length) {
  const most = Math.max(...terms.map(term => term.weight))
  return terms.map((term, place) => {
    const made = chip(term, term.weight / most, `weight ${number.format(term.weight)}${term.expansion ? ", an expansion: not in the text" : ""}`)
    made.classList.toggle("unused", place >= used)
    return made
  })
}

function describe(match) {
  return `${match.name}: ${percent(match.share)} of the score, query ${number.format(match.query)} × document ${number.format(match.document)}`
}

function text(found) {
  const most = Math.max(...found.matches.map(match => match.share))
  return element("p", {}, ...found.parts.map(([part, place]) => {
    if (place === null) return part
    const marked = noted(element("mark", {textContent: part}), describe(found.matches[place]))
    marked.style.setProperty("--share", .2 + .7 * found.matches[place].share / most)
    return marked
  }), found.cut ? " …" : "")
}

function shared(found) {
  if (!found.matches.length) return element("p", {className: "muted", textContent: "The sparse model finds no term in common."})
  return list("Terms in common", found.matches.map(match =>
    chip({name: `${match.name} ${percent(match.share)}`, expansion: match.expandsQuery || match.expandsDocument}, match.share,
      describe(match) + (match.expandsQuery ? "; not in the query" : "") + (match.expandsDocument ? "; not in the document" : ""))))
}

function hit(found, place) {
  const made = element("li", {}, element("header", {}, element("b", {textContent: place + 1}), element("span", {textContent: found.id}),
    element("span", {textContent: found.language || ""}), element("span", {textContent: number.format(found.score)})), text(found), shared(found))
  made.dataset.id = found.id
  for (const [event, on] of [["mouseenter", true], ["mouseleave", false], ["focusin", true], ["focusout", false]])
    made.addEventListener(event, () => document.querySelectorAll("li").forEach(one => one.classList.toggle("same", on && one.dataset.id === found.id)))
  return made
}

let latest = 0
let asked = ""
const title = document.title

const chosen = () => [...document.querySelectorAll("#systems input")].filter(box => box.checked).map(box => box.value)

// The address holds what was asked, so that a reload, the back button and a link to somebody else show the same.
function remember() {
  const parts = new URLSearchParams()
  if ($("query").value.trim()) parts.set("q", $("query").value)
  if ($("language").value) parts.set("language", $("language").value)
  if (chosen().length < document.querySelectorAll("#systems input").length) parts.set("systems", chosen().join())
  const address = `?${parts}`
  if (address !== (location.search || "?")) history.pushState(null, "", parts.size ? address : location.pathname)
}

function recall() {
  const parts = new URLSearchParams(location.search), systems = (parts.get("systems") || "").split(",")
  const boxes = [...document.querySelectorAll("#systems input")], known = boxes.some(box => systems.includes(box.value))
  $("query").value = parts.get("q") || ""
  $("language").value = parts.get("language") || ""
  if ($("language").selectedIndex < 0) $("language").value = ""
  boxes.forEach(box => { box.checked = !known || systems.includes(box.value) })
  return search()
}

function ask() {
  remember()
  return search()
}

function clear() {
  $("answers").replaceChildren()
  $("asked").replaceChildren()
  hide()
}

function choose() {
  const shown = chosen()
  document.querySelectorAll("#answers section").forEach(section => { section.hidden = !shown.includes(section.dataset.system) })
}

async function search() {
  const query = $("query").value, mine = ++latest, slider = $("terms")
  $("examples").hidden = Boolean(query.trim())
  document.title = query.trim() ? `${query.trim()} · ${title}` : title
  if (!query.trim()) {
    clear()
    return say("")
  }
  $("answers").setAttribute("aria-busy", "true")
  if (query !== asked) slider.disabled = true // all terms of a new query
  try {
    const request = {query, language: $("language").value || null, terms: slider.disabled ? null : Number(slider.value)}
    const answer = await send("search", request)
    if (mine !== latest) return // a newer one is on its way
    asked = query
    const all = answer.query.length, used = request.terms || all
    Object.assign(slider, {max: Math.max(all, 1), value: used, disabled: all < 2})
    $("used").textContent = used < all ? `${used} of ${all}` : `all ${all}`
    $("asked").replaceChildren(list("Terms of the query", chips(answer.query, used), "span"))
    $("answers").replaceChildren(...answer.answers.map(each => element("section", {},
      element("h2", {textContent: each.system + " "}, element("small", {textContent: time(each.milliseconds)})),
      each.found.length ? element("ol", {}, ...each.found.map(hit)) : element("p", {className: "muted", textContent: "nothing found"}))))
    answer.answers.forEach((each, place) => { $("answers").children[place].dataset.system = each.system })
    hide()
    choose()
    say(`query encoded in ${time(answer.milliseconds)}`)
  } catch (error) {
    if (mine !== latest) return
    clear() // what was found before is no answer to this query
    say(error.message, true)
  } finally {
    if (mine === latest) $("answers").setAttribute("aria-busy", "false")
  }
}

async function explain(event) {
  event.preventDefault()
  try {
    const answer = await send("explain", {query: $("own-query").value, document: $("own-document").value})
    const titled = (title, terms) => [element("h2", {textContent: `${title}: ${terms.length} terms`}), list(title, chips(terms))]
    $("explained").replaceChildren(...titled("Query", answer.query), element("h2", {textContent: `Score ${number.format(answer.found.score)}`}),
      element("div", {className: "pair"}, text(answer.found), shared(answer.found)), ...titled("Document", answer.document))
  } catch (error) {
    $("explained").replaceChildren(element("p", {className: "muted", textContent: error.message}))
  }
}

async function begin() {
  const about = await send("about")
  $("about").textContent = `${about.documents.toLocaleString("en")} document${about.documents === 1 ? "" : "s"} of ${about.source} · ${about.model} · ${about.engine}`
  $("filter").hidden = about.languages.length < 2
  $("language").append(...about.languages.map(language => element("option", {value: language, textContent: language})))
  $("systems").append(...about.systems.map(system =>
    element("label", {}, element("input", {type: "checkbox", value: system, checked: true}), ` ${system}`)))
  $("examples").replaceChildren(...about.examples.map(example => {
    const button = element("button", {type: "button", className: "example", textContent: example.query, lang: example.language || ""})
    button.addEventListener("click", () => { $("query").value = example.query; ask() })
    return button
  }))
  $("query").addEventListener("input", () => $("query").value || ask()) // emptied: the examples come back
  $("ask").addEventListener("submit", event => { event.preventDefault(); ask() })
  $("language").addEventListener("change", ask)
  $("systems").addEventListener("change", event => {
    if (!chosen().length) event.target.checked = true // one stays
    remember()
    choose()
  })
  $("terms").addEventListener("input", search)
  $("pair").addEventListener("submit", explain)
  addEventListener("popstate", recall)
  addEventListener("scroll", hide, {passive: true})
  addEventListener("keydown", event => event.key === "Escape" && hide())
  await recall()
}

begin().catch(error => say(error.message, true))
