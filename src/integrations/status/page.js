// Keeps the page current. The server renders the page; this script fetches it again and changes what differs, so that
// open rows, the selection and the scroll position stay. Without this script the page is complete and reloads itself.
'use strict';
const PERIOD = 2000, TIMEOUT = 8000, MOST_INSPECTED = 16;
const live = document.getElementById('live');
let opened = new URLSearchParams(location.search).getAll('service');
let lastAnswer = new Date(), timer = 0, request = null;

// Makes the node `old` like `fresh`. Children with an id are found by it.
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  const kept = name => (name === 'open' && old.nodeName === 'DETAILS') || name === 'hidden' || name === 'aria-pressed';
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !kept(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value && !kept(name)) old.setAttribute(name, value);
  const byId = new Map([...old.children].filter(child => child.id).map(child => [child.id, child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const known = child.id && byId.get(child.id);
    if (known) {
      if (known === place) place = place.nextSibling; else old.insertBefore(known, place);
      morph(known, child);
    } else if (!child.id && place && !place.id && place.nodeName === child.nodeName) {
      const next = place.nextSibling;
      morph(place, child);
      place = next;
    } else {
      old.insertBefore(child, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function clock(time) {
  return time.toLocaleTimeString([], { hour12: false });
}

function say(lost) {
  live.textContent = lost ? `no answer since ${clock(lastAnswer)}; trying again` : `updated ${clock(lastAnswer)}`;
  document.body.classList.toggle('lost', lost);
}

function localTimes() {
  for (const time of document.querySelectorAll('#events time'))
    time.textContent = clock(new Date(time.dateTime));
}

async function refresh() {
  clearTimeout(timer);
  request?.abort();
  const mine = request = new AbortController();
  const patience = setTimeout(() => mine.abort(), TIMEOUT);
  const query = new URLSearchParams(opened.slice(-MOST_INSPECTED).map(name => ['service', name]));
  try {
    const answer = await fetch(location.pathname + (opened.length ? '?' + query : ''), { signal: mine.signal });
    if (!answer.ok) throw new Error('status ' + answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (mine !== request) return;
    document.title = fresh.title;
    for (const id of ['top', 'main']) morph(document.getElementById(id), fresh.getElementById(id));
    lastAnswer = new Date();
    say(false);
    localTimes();
    filter();
  } catch (error) {
    if (mine !== request) return; // a newer request is under way
    say(true);
  } finally {
    clearTimeout(patience);
    if (mine === request) timer = setTimeout(refresh, PERIOD);
  }
}

// Shows only the rows that have every word of the filter, and the groups that such rows are in.
function filter() {
  const box = document.getElementById('filter');
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const show = row => {
    const inside = [...row.querySelectorAll(':scope > .children > .service')].map(show).includes(true);
    const match = words.every(word => row.dataset.words.toLowerCase().includes(word));
    row.hidden = !(match || inside);
    return match || inside;
  };
  document.querySelectorAll('#rows > .service').forEach(show);
  for (const chip of document.querySelectorAll('#services button'))
    chip.setAttribute('aria-pressed', box.value.trim() === chip.dataset.word);
  document.getElementById('none').hidden = !document.querySelector('#rows > .service')
    || !!document.querySelector('#rows > .service:not([hidden])');
}

document.addEventListener('input', event => { if (event.target.id === 'filter') filter(); });
document.addEventListener('click', event => {
  const chip = event.target.closest('#services button');
  const box = document.getElementById('filter');
  if (chip) {
    box.value = box.value.trim() === chip.dataset.word ? '' : chip.dataset.word;
    filter();
  }
  const link = event.target.closest('a.inspect, #problems a');
  if (link) {
    event.preventDefault();
    const row = document.getElementById(link.hash.slice(1));
    if (!row) return;
    box.value = '';
    filter();
    for (let at = row; at; at = at.parentElement) if (at.nodeName === 'DETAILS') at.open = true;
    open(row);
    row.scrollIntoView({ block: 'nearest' });
  }
});

function open(row) {
  opened = [...opened.filter(name => name !== row.dataset.name), row.dataset.name];
  history.replaceState(null, '', '?' + new URLSearchParams(opened.slice(-MOST_INSPECTED).map(name => ['service', name])));
  refresh();
}

// A row that is opened shows what its thread is blocked in.
document.addEventListener('toggle', event => {
  const row = event.target;
  if (!row.matches?.('details.service')) return;
  const is_known = opened.includes(row.dataset.name);
  if (row.open && !is_known) open(row);
  if (!row.open && is_known) opened = opened.filter(name => name !== row.dataset.name);
}, true);

document.addEventListener('visibilitychange', () => {
  if (document.hidden) clearTimeout(timer); else refresh();
});
live.hidden = false;
document.getElementById('filter').hidden = false;
for (const chip of document.querySelectorAll('#services button')) chip.disabled = false;
say(false);
localTimes();
timer = setTimeout(refresh, PERIOD);
