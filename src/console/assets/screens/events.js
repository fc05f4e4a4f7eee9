// What was done with keys, by whom. It follows while somebody looks.

import { get } from '../api.js';
import { eventTable } from '../table.js';
import { add, button, card, empty, fill, h, link, load, set } from '../dom.js';
import { field, input } from '../form.js';
import { go, to } from '../router.js';
import { fromField, toField } from '../time.js';

export const title = 'Events';
// A request keeps the session alive, so nobody follows without being there.
const ATTENTION = 5 * 60_000;

export function show(view, { query, signal, again }) {
	const [area, status] = [card(title), h('span.quiet', { role: 'status' })];
	const toggle = button('Follow', () => (timer ? stop('') : follow()), '', { 'aria-pressed': 'false' });
	const table = eventTable(title);
	const own = [...query].filter(([name]) => name !== 'cursor');
	let [timer, newest, seen] = [null, 0, 0];

	const time = (name, label) => field(name, label, input({ type: 'datetime-local', value: toField(query.get(name)) }));
	const text = (name, label, placeholder) => field(name, label, input({ value: query.get(name) ?? '', placeholder }));
	const filters = h('form.filters', { role: 'search' },
		h('div.row', text('kind', 'Kind', 'revoked'), text('actor', 'By', 'uid:0'), text('key', 'Id of the key'), time('since', 'Since'), h('button', { type: 'submit' }, 'Show')));
	filters.addEventListener('submit', (event) => {
		event.preventDefault();
		go('events', [...new FormData(filters)].map(([name, text]) => [name, name === 'since' ? fromField(text) : text.trim()]));
	});
	add(view, h('header.head', h('h1', title), h('div.buttons', status, !query.has('cursor') && toggle)), filters, area);

	load(area, get('events', [...query, ['limit', '50']], signal), ({ events, next }) => {
		newest = events[0]?.number ?? 0;
		if (!events.length) return empty('No events', 'Fewer filters find more.');
		return [table.show(events), next && h('nav.pager', { 'aria-label': 'Pages' }, link('Earlier events', to('events', [...own, ['cursor', next]])))];
	}, again);

	const poll = async () => {
		if (document.hidden) return;
		if (Date.now() - seen > ATTENTION) return stop('Paused, since nobody is here.');
		const { events } = await get('events', [...own, ['after', newest], ['limit', '100']], signal);
		if (!events.length) return;
		newest = events.at(-1).number;
		if (!table.element.isConnected) fill(area, table.element);
		table.body.prepend(...table.rows(events.reverse()));
		fill(status, `Following: ${events.length} new`);
	};
	const turn = async () => {
		await poll().catch((problem) => stop(problem.detail));
		if (timer) timer = setTimeout(turn, 2000);
	};
	const follow = () => {
		seen = Date.now();
		timer = setTimeout(turn);
		set(toggle, { 'aria-pressed': 'true' });
		fill(status, 'Following');
	};
	const stop = (why) => {
		clearTimeout(timer);
		timer = null;
		set(toggle, { 'aria-pressed': 'false' });
		fill(status, why);
	};
	for (const sign of ['pointermove', 'keydown']) addEventListener(sign, () => (seen = Date.now()), { signal });
	signal.addEventListener('abort', () => stop(''));
}
