"use strict"
// Texts are set as text nodes only, so that HTML in a document or a query is shown and never run.

const $ = id => document.getElementById(id)
const number = new Intl.NumberFormat("en", {maximumFractionDigits: 3})
const time = milliseconds => `${milliseconds.toFixed(1)} ms`
const percent = share => `${Math.round(100 * share)}%`

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

async function send(path, body) {
  const response = await fetch(path, body && {method: "POST", body: JSON.stringify(body)})
  const answer = await response.json().catch(() => ({error: `The server answered ${response.status}.`}))
  if (answer.error) throw new Error(answer.error)
  return answer
}

function say(text, bad = false) {
  $("status").textContent = text
  $("status").classList.toggle("bad", bad)
}

function chip(term, share, title) {
  const made = element("span", {textContent: term.name + (term.expansion ? " +" : ""), title})
  made.style.setProperty("--width", percent(share))
  return made
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
    const marked = element("mark", {textContent: part, title: describe(found.matches[place])})
    marked.style.setProperty("--share", .2 + .7 * found.matches[place].share / most)
    return marked
  }), found.cut ? " …" : "")
}

function shared(found) {
  if (!found.matches.length) return element("p", {className: "muted", textContent: "The sparse model finds no term in common."})
  return element("p", {className: "terms"}, ...found.matches.map(match =>
    chip({name: `${match.name} ${percent(match.share)}`, expansion: match.expandsQuery || match.expandsDocument}, match.share,
      describe(match) + (match.expandsQuery ? "; not in the query" : "") + (match.expandsDocument ? "; not in the document" : ""))))
}

function hit(found, place) {
  const made = element("li", {}, element("header", {}, element("b", {textContent: place + 1}), element("span", {textContent: found.id}),
    element("span", {textContent: found.language || ""}), element("span", {textContent: number.format(found.score)})), text(found), shared(found))
  made.dataset.id = found.id
  for (const [event, on] of [["mouseenter", true], ["mouseleave", false]])
    made.addEventListener(event, () => document.querySelectorAll("li").forEach(one => one.classList.toggle("same", on && one.dataset.id === found.id)))
  return made
}

let latest = 0
let asked = ""

async function search() {
  const query = $("query").value, mine = ++latest, slider = $("terms")
  $("examples").hidden = Boolean(query.trim())
  if (!query.trim()) {
    $("answers").replaceChildren()
    $("asked").replaceChildren()
    return say("")
  }
  if (query !== asked) slider.disabled = true // all terms of a new query
  try {
    const request = {query, language: $("language").value || null, terms: slider.disabled ? null : Number(slider.value)}
    const answer = await send("search", request)
    if (mine !== latest) return // a newer one is on its way
    asked = query
    const all = answer.query.length, used = request.terms || all
    Object.assign(slider, {max: Math.max(all, 1), value: used, disabled: all < 2})
    $("used").textContent = used < all ? `${used} of ${all}` : `all ${all}`
    $("asked").replaceChildren(...chips(answer.query, used))
    $("answers").replaceChildren(...answer.answers.map(each => element("section", {},
      element("h2", {textContent: each.system + " "}, element("small", {textContent: time(each.milliseconds)})),
      each.found.length ? element("ol", {}, ...each.found.map(hit)) : element("p", {className: "muted", textContent: "nothing found"}))))
    say(`query encoded in ${time(answer.milliseconds)}`)
  } catch (error) {
    if (mine === latest) say(error.message, true)
  }
}

async function explain(event) {
  event.preventDefault()
  try {
    const answer = await send("explain", {query: $("own-query").value, document: $("own-document").value})
    const titled = (title, terms) => [element("h2", {textContent: `${title}: ${terms.length} terms`}), element("p", {className: "terms"}, ...chips(terms))]
    $("explained").replaceChildren(...titled("Query", answer.query), element("h2", {textContent: `Score ${number.format(answer.found.score)}`}),
      element("div", {className: "pair"}, text(answer.found), shared(answer.found)), ...titled("Document", answer.document))
  } catch (error) {
    $("explained").replaceChildren(element("p", {className: "muted", textContent: error.message}))
  }
}

async function begin() {
  const about = await send("about")
  $("about").textContent = `${about.documents.toLocaleString("en")} documents of ${about.source} · ${about.model} · ${about.engine}`
  $("filter").hidden = about.languages.length < 2
  $("language").append(...about.languages.map(language => element("option", {value: language, textContent: language})))
  $("examples").replaceChildren(...about.examples.map(example => {
    const button = element("button", {type: "button", className: "example", textContent: example.query, lang: example.language || ""})
    button.addEventListener("click", () => { $("query").value = example.query; search() })
    return button
  }))
  $("query").addEventListener("input", () => $("query").value || search()) // emptied: the examples come back
  $("ask").addEventListener("submit", event => { event.preventDefault(); search() })
  $("language").addEventListener("change", search)
  $("terms").addEventListener("input", search)
  $("pair").addEventListener("submit", explain)
}

begin().catch(error => say(error.message, true))
