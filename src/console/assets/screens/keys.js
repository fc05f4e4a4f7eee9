// The list of keys, a page at a time.

import { get } from '../api.js';
import { keyCell, ownerCell, stateBadge, Table, when } from '../table.js';
import { spark, usage } from '../chart.js';
import { add, attempt, button, card, empty, fill, h, link } from '../dom.js';
import { filterForm, filtersOf, inWords } from '../filters.js';
import { revokeAll } from '../revoke_all.js';
import { go, to } from '../router.js';
import { can, isOwner } from '../session.js';

export const title = 'Keys';
const PAGE = 25;
// A page of the service reads a part of the store, so with a rare filter it may be short.
const MAX_PAGES = 50;

export function show(view, { query, signal, again }) {
	const [form, area] = [h('div'), card(title)];
	add(view, h('header.head', h('h1', isOwner() ? 'Your keys' : title), createLink()), form, area);
	let stop;
	const update = (query) => {
		// Another address of the same screen keeps the form while somebody is in it.
		if (!form.contains(document.activeElement)) fill(form, filterForm(query, (pairs) => go('keys', pairs)));
		stop?.abort();
		stop = new AbortController();
		const either = AbortSignal.any([signal, stop.signal]);
		area.setAttribute('aria-busy', 'true');
		attempt(area, () => list(area, query, either, again), again).then(() => either.aborted || area.removeAttribute('aria-busy'));
	};
	update(query);
	return update;
}

const createLink = () => can('keys:create') && link('Create a key', to('create'), 'button.primary');

async function list(area, query, signal, again) {
	const filters = filtersOf(query);
	const sparks = lazily(signal);
	const table = new Table(title, [
		['Key', keyCell],
		!isOwner() && ['Owner', ownerCell],
		['State', (key) => stateBadge(key.state)],
		['Last used', (key) => when(key.activity.last_used_at), 'when'],
		can('usage:read') && ['30 days', sparks, 'sparks'],
		['Ends', (key) => when(key.expires_at), 'when'],
	]);
	const pages = new URLSearchParams(query);
	const top = filters.length > 0 && h('div.top',
		h('p', `Only keys with ${inWords(filters)}`),
		link('Show all', to('keys'), 'button.small'),
		can('keys:revoke') && !isOwner() && button('Revoke all of these …', () => revokeAll(filters, again), 'small'));
	let [rest, next] = [PAGE, ''];
	for (let page = 0; page < MAX_PAGES && rest > 0 && next !== null; page += 1) {
		pages.set('limit', rest);
		if (next) pages.set('cursor', next);
		const found = await get('keys', pages, signal);
		next = found.next;
		rest -= found.keys.length;
		table.show(found.keys);
		// What was there stays until there is something to show instead.
		if (rest < PAGE && !table.element.isConnected) fill(area, top, table.element);
	}
	if (rest === PAGE) fill(area, top, nothing(filters, query, next));
	add(area, pager(query, next));
}

function nothing(filters, query, next) {
	if (next) return empty('None so far', 'A part of the store has no such key. The rest is not searched yet.', link('Search on', to('keys', withCursor(query, next))));
	if (filters.length || query.has('cursor')) return empty('No such key', 'Fewer filters find more.');
	return empty('No keys yet', `Create the first one, and give its secret to the program that calls ${isOwner() ? 'the' : 'your'} service.`, createLink());
}

const withCursor = (query, cursor) => [...[...query].filter(([name]) => name !== 'cursor'), ['cursor', cursor]];

function pager(query, next) {
	const cursor = query.get('cursor');
	const page = (text, cursor) => link(text, to('keys', withCursor(query, cursor)));
	return (next || cursor) && h('nav.pager', { 'aria-label': 'Pages' }, cursor && page('First page', ''), next && page('Next page', next));
}

function lazily(signal) {
	const keys = new WeakMap();
	const seen = new IntersectionObserver((entries) => {
		for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
			seen.unobserve(target);
			usage([['key', keys.get(target)]], true, signal).then((report) => fill(target, spark(report)), () => {});
		}
	});
	signal.addEventListener('abort', () => seen.disconnect());
	return (key) => {
		const place = h('span.spark');
		keys.set(place, key.id);
		seen.observe(place);
		return place;
	};
}
