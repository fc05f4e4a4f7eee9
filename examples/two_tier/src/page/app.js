// The script of the page. It asks the API and shows the answers, the refusals too.
// Everything that comes from outside is written with `textContent`: text stays text.

const API = document.querySelector('meta[name="api-origin"]').content;
const $ = (id) => document.getElementById(id);

// The key lives in this variable and nowhere else: not in localStorage, a cookie or the address, where other scripts,
// other tabs and the history would find it. A reload forgets it.
let key = null;
// What the API said about the key.
let caller = null;
// Ended when another key is taken, so that a late answer to the old one is not shown as an answer to the new one.
let session = new AbortController();

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail);
    this.status = status;
    this.problem = problem;
  }
}

/** Asks the API. Returns the JSON it answers; throws `Refused` for an error status. */
async function ask(path, body) {
  const options = { headers: {}, signal: session.signal, cache: 'no-store', credentials: 'omit', redirect: 'error' };
  if (key !== null) options.headers['X-API-Key'] = key;
  if (body !== undefined) {
    options.method = 'POST';
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const response = await fetch(API + path, options);
  showSuperseded(response.headers.get('X-API-Key-Superseded'));
  if (response.ok) return response.json();
  // Refusals are problem documents (RFC 9457). Anything else, say from a proxy, is shown by its status.
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw new Refused(response.status, problem);
}

/** Runs a task of the page; shows errors in `notices`. */
async function attempt(notices, task) {
  const started = session;
  notices.replaceChildren();
  try {
    await task();
  } catch (error) {
    if (started.signal.aborted) return;
    notices.replaceChildren(noticeOf(error));
  }
}

// ---- What a refusal means for the person in front of the page

function noticeOf(error) {
  if (!(error instanceof Refused)) return unreachable();
  const { status, problem } = error;
  switch (problem.code) {
    case 'missing_api_key':
      return notice(status, 'The API wants a key', [], 'Paste one of the keys the terminal printed, and try again.');
    case 'invalid_api_key':
      return notice(status, 'The API does not know this key', [['Key', sketch(key)]],
        'Copy the whole key again: it is one word without spaces. If it is lost, start the demo with --new-demo-keys.');
    case 'revoked_api_key':
    case 'expired_api_key':
      return notice(status, problem.detail, [['Key', sketch(key)]],
        'It will not work again. Use another key, or start the demo with --new-demo-keys.');
    case 'disabled_api_key':
    case 'idle_api_key':
    case 'inactive_api_key':
      return notice(status, problem.detail, [['Key', sketch(key)]],
        'It is a real key that may not be used now. Ask who gave it to you, or use another one.');
    case 'insufficient_permission':
      return notice(status, 'This key is not allowed to do that',
        [['Key', describe(caller)], ['Needed', problem.required], ['It has', listed(caller?.permissions)]],
        'Use a key that has what is needed, such as the writer key, or ask for it to be added to this one.');
    case 'unavailable':
      return notice(status, 'The API cannot check keys at the moment', [], 'Wait a little and try again.');
    default:
      return notice(status, problem.detail || problem.title || 'The API refused', [], '');
  }
}

function unreachable() {
  return notice('', 'No answer from the API', [['Address', API]],
    'Is the demo still running? Start it with: cargo run -p two_tier');
}

function notice(status, title, facts, advice) {
  const box = element('div', 'notice');
  const heading = element('h3', '');
  if (status) heading.append(element('span', 'status', String(status)), ' ');
  heading.append(title);
  box.append(heading);
  if (facts.length > 0) {
    const list = element('dl', 'facts');
    for (const [term, text] of facts) list.append(fact(term, text));
    box.append(list);
  }
  if (advice) box.append(element('p', '', advice));
  return box;
}

function describe(who) {
  if (!who) return sketch(key);
  return who.key_name ? `${who.key_name} (${who.owner})` : `${who.key_hint} (${who.owner})`;
}

function listed(permissions) {
  return permissions?.length ? permissions.join(', ') : 'no permissions';
}

/** Enough of a key to tell it from another one, and no part of its secret. */
function sketch(text) {
  const parts = /^([a-z][a-z0-9_]*)_([0-9A-Za-z]{22})[0-9A-Za-z]{38}$/.exec(text ?? '');
  return parts ? `${parts[1]}_…${parts[2].slice(-4)}` : 'what you pasted does not have the form of a key';
}

// ---- The key and who it belongs to

function takeKey(text) {
  session.abort();
  session = new AbortController();
  key = text;
  caller = null;
  $('key-form').hidden = false;
  for (const id of ['caller', 'caller-superseded', 'work', 'orders-table']) $(id).hidden = true;
  const filled = ['key-notice', 'orders-notice', 'orders', 'order-notice', 'order-done', 'report-notice', 'report'];
  for (const id of filled) $(id).replaceChildren();
}

async function useKey(text) {
  takeKey(text);
  // A header cannot carry every character, and no key has such characters.
  if (text !== null && !/^[\x21-\x7e]+$/.test(text)) {
    $('key-notice').replaceChildren(notice('', 'This cannot be a key', [],
      'A key is one word of letters, digits and underscores. Copy it again from the terminal.'));
    return;
  }
  await attempt($('key-notice'), async () => {
    caller = await ask('/whoami');
    showCaller();
    await loadOrders();
  });
}

function showCaller() {
  $('caller-owner').textContent = caller.owner;
  $('caller-key').textContent = caller.key_name ? `${caller.key_name}, ${caller.key_hint}` : caller.key_hint;
  $('caller-id').textContent = caller.key_id;
  $('caller-expiry').textContent = caller.expires_at ? day(caller.expires_at) : 'no end';
  $('caller-permissions').replaceChildren(...caller.permissions.map((name) => element('li', '', name)));
  $('key-form').hidden = true;
  $('caller').hidden = false;
  $('work').hidden = false;
  // The form that had the focus is gone: the reader of the page goes on here.
  $('caller').focus();
}

/** After a rotation the old secret works for a while; the API says so with every answer. */
function showSuperseded(value) {
  if (value === null) return;
  const end = value === '?1' ? 'as soon as the new one is used' : `at ${new Date(value).toLocaleString()}`;
  $('caller-superseded').textContent = `This key was replaced by a new one. It stops working ${end}.`;
  $('caller-superseded').hidden = false;
}

// ---- Orders and the report

function loadOrders() {
  return attempt($('orders-notice'), async () => {
    $('orders-table').hidden = true;
    const orders = await ask('/orders');
    const rows = orders.map((order) => {
      const row = element('tr', '');
      row.append(element('td', '', String(order.id)), element('td', '', order.item),
        element('td', 'number', String(order.quantity)), element('td', '', order.placed_by));
      return row;
    });
    $('orders').replaceChildren(...rows);
    $('orders-table').hidden = false;
  });
}

function placeOrder() {
  $('order-done').textContent = '';
  return attempt($('order-notice'), async () => {
    const order = await ask('/orders', { item: $('item').value, quantity: $('quantity').valueAsNumber });
    $('order-done').textContent = `Order ${order.id} is placed: ${order.quantity} × ${order.item}.`;
    await loadOrders();
  });
}

function loadReport() {
  $('report').replaceChildren();
  return attempt($('report-notice'), async () => {
    const report = await ask('/reports');
    const pieces = Object.entries(report.pieces).map(([owner, count]) => fact(`Pieces for ${owner}`, String(count)));
    $('report').replaceChildren(fact('Orders', String(report.orders)), ...pieces);
  });
}

// ---- Small helpers

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function fact(term, text) {
  const pair = element('div', '');
  pair.append(element('dt', '', term), element('dd', '', text));
  return pair;
}

function day(time) {
  return new Date(time).toLocaleDateString(undefined, { dateStyle: 'long' });
}

function onSubmit(id, action) {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    action();
  });
}

onSubmit('key-form', () => {
  const text = $('key').value.trim();
  $('key').value = '';
  useKey(text === '' ? null : text);
});
onSubmit('order-form', placeOrder);
$('no-key').addEventListener('click', () => useKey(null));
$('reload-orders').addEventListener('click', loadOrders);
$('load-report').addEventListener('click', loadReport);
$('forget-key').addEventListener('click', () => {
  takeKey(null);
  $('key').focus();
});
