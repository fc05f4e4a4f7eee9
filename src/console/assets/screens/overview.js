// The store at a glance.

import { get } from '../api.js';
import { badge, facts, keyCell, name, Table, when } from '../table.js';
import { refused, uses } from '../chart.js';
import { add, h, link, load } from '../dom.js';
import { to } from '../router.js';
import { can, who } from '../session.js';
import { DAY, before } from '../time.js';
import { STATES, bytes, count } from '../words.js';

export const title = 'Overview';

export function show(view, { query, signal, again }) {
	const [tiles, busy, health] = [h('div.tiles', tilesOf({})), h('div.waits'), h('div.waits')];
	const [counts, whole] = [can('usage:read'), !who.tenant];
	add(view,
		h('header.head', h('h1', title), can('keys:create') && link('Create a key', to('create'), 'button.primary')),
		tiles,
		counts && uses('Requests', ['overview'], [], query, signal),
		h('div.two', counts && h('section.card', h('h2', 'Busiest keys in 24 hours'), busy), whole && h('section.card', h('h2', 'The store'), health)));
	const all = get('overview', [], signal);
	load(tiles, all, tilesOf, again);
	if (whole) load(health, Promise.all([all, get('health', [], signal)]), ([more, health]) => store(more, health), again);
	if (counts) load(busy, get('usage', [['by', 'key']], signal), busiest, again);
}

function tilesOf({ states, expiring, idle, old_secrets }) {
	const tile = (n, text, ...query) => h(`a.tile${n && query.length > 1 ? '.warn' : ''}`, { href: to('keys', query) }, h('b', n?.toLocaleString() ?? '–'), h('span', text));
	const active = ['state', 'active'];
	const others = Object.entries(states ?? {}).filter(([state, n]) => n && state !== 'active');
	return [
		tile(states?.active, 'active keys', active),
		tile(expiring, 'end within 30 days', active, ['expiring_before', before(-30 * DAY)]),
		tile(idle, 'not used for 90 days', active, ['idle_since', before(90 * DAY)]),
		tile(old_secrets, 'rotated, and the old secret still works', active),
		h('p.states', others.map(([state, n]) => link(`${n.toLocaleString()} ${(STATES[state]?.[1] ?? state).toLowerCase()}`, to('keys', [['state', state]]), ''))),
	];
}

function store(more, health) {
	const { cluster } = health;
	const nodes = cluster && new Table('Nodes', [
		['Node', (node) => name(node.name)],
		['Behind', (node) => (node.applied >= cluster.head ? 'Up to date' : count(cluster.head - node.applied, 'change'))],
		['Heard of', (node) => [node.silent && badge('bad', 'Silent'), when(node.last_look)]],
	]);
	return [
		facts(
			['State', health.ready && health.good ? badge('good', 'Well') : badge('bad', health.ready ? 'Needs a look' : 'Not ready')],
			cluster && !cluster.engine_answers && ['Engine', badge('bad', 'Does not answer')],
			health.failed_since && ['Failing since', when(health.failed_since)],
			['Last backup', health.backup_failed && badge('bad', 'Failed'), when(health.last_backup_at, 'None')],
			health.clock_ahead && ['Clock', badge('warn', 'The store’s time is ahead of it')],
			['Last event', health.last_event.toLocaleString()],
			more.disk_bytes && ['On the disk', bytes(more.disk_bytes)],
			more.log_bytes && ['Log', bytes(more.log_bytes)],
			health.usage_dropped > 0 && ['Not counted', count(health.usage_dropped, 'use')],
		),
		cluster && [h('p.quiet', `Nodes, as ${cluster.node} sees them`), nodes.show(cluster.nodes)],
	];
}

function busiest({ keys }) {
	if (!keys.length) return h('p.quiet', 'No key was used.');
	const table = new Table('The busiest keys', [
		['Key', (use) => keyCell({ ...use, id: use.key, hint: use.owner })],
		['Used', (use) => use.uses.toLocaleString(), 'number'],
		['Refused', (use) => refused(use).toLocaleString(), 'number'],
	]);
	return table.show(keys.slice(0, 5));
}
