// Tables, which are cards on a narrow screen, and what they show.

import { add, h } from './dom.js';
import { to } from './router.js';
import { ago, full } from './time.js';
import { STATES, sentence, text } from './words.js';

export class Table {
	constructor(caption, columns) {
		this.columns = columns.filter(Boolean);
		this.body = h('tbody', { role: 'rowgroup' });
		// With roles, since the layout as cards would take those of the elements away.
		const heads = this.columns.map(([name, , look]) => h('th', { scope: 'col', role: 'columnheader', class: look }, name));
		this.element = h('table', { role: 'table' }, h('caption.hidden', caption), h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)), this.body);
	}

	rows(all) {
		const cell = (row) => ([name, show, look], at) =>
			at ? h('td', { role: 'cell', class: look, 'data-label': name }, show(row)) : h('th', { scope: 'row', role: 'rowheader', class: look }, show(row));
		return all.map((row) => h('tr', { role: 'row' }, this.columns.map(cell(row))));
	}

	show(all) {
		add(this.body, this.rows(all));
		return this.element;
	}
}

export const facts = (...pairs) => h('dl.facts', pairs.filter(Boolean).map(([name, ...value]) => h('div', h('dt', name), h('dd', value))));

export const called = (key) => key.name || 'Unnamed key';
export const name = (text) => h('span.name', text);
export const sub = (...text) => h('span.sub.quiet', text);
export const chips = (all, none) => (all.length ? all.map((one) => h('code.chip', one)) : h('span.quiet', none));
export const badge = (look, text, title) => h(`span.badge.${look}`, { title }, text);
export const stateBadge = (state) => badge(...(STATES[state] ?? ['', sentence(state)]));

export const when = (time, never = 'Never') => (time ? h('time', { datetime: time, title: full(time) }, ago(time)) : h('span.quiet', never));

export const keyLink = (id, text) => h('a.name', { href: to(['keys', id]), title: id }, text ?? `…${id.slice(-8)}`);
export const keyCell = (key) => [keyLink(key.id, called(key)), sub(key.hint)];
export const ownerCell = (key) => [name(key.owner), key.tenant && sub(key.tenant)];

const actor = (who) => (!who ? 'The store' : who.startsWith('key:') ? ['Key ', keyLink(who.slice(4))] : name(who));

function what({ number, at, actor, peer, key, kind, changes, ...more }) {
	const all = Object.entries({ ...more, ...changes, ...(changes?.name && { name: 'changed' }) }).filter(([, value]) => value !== null);
	return [h('strong', sentence(kind)), all.map(([name, value]) => h('span.sub', h('span.quiet', `${sentence(name)}: `), text(value)))];
}

export const eventTable = (caption, ofKey) =>
	new Table(caption, [
		['When', (event) => when(event.at), 'when'],
		['What', what],
		!ofKey && ['Key', (event) => (event.key ? keyLink(event.key) : '–')],
		['By', (event) => [actor(event.actor), event.peer && sub(event.peer)]],
	]);
