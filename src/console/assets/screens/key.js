// One key.

import { replace, revoke, rotate, toggle } from '../actions.js';
import { get, segment } from '../api.js';
import { called, chips, eventTable, facts, name, stateBadge, when } from '../table.js';
import { uses } from '../chart.js';
import { add, attempt, button, h, link, load, notice } from '../dom.js';
import { to } from '../router.js';
import { can, isOwner } from '../session.js';
import { full, span } from '../time.js';
import { STATES, limit, quota } from '../words.js';

export const title = 'Key';

export function show(view, { path: [, id], query, signal, again }) {
	const [head, about, past] = [h('div.waits'), h('div'), h('div.waits')];
	const events = can('events:read') && !isOwner();
	add(view,
		h('p.crumbs', link('Keys', to('keys'), '')),
		head,
		can('usage:read') && uses('Use', ['keys', id], [['key', id]], query, signal),
		about,
		events && h('section.card', h('h2', 'History'), past));
	load(head, get(`keys/${segment(id)}`, [['activity', 'true']], signal), (key) => {
		document.title = document.title.replace(title, called(key));
		add(about, details(key));
		return heading(key, again);
	}, again);
	if (events) {
		load(past, get('events', [['key', id], ['limit', '50']], signal), ({ events, next }) => [
			eventTable('The history of the key', true).show(events),
			next && link('All of its history', to('events', [['key', id]]), ''),
		], again);
	}
}

function heading(key, again) {
	const place = h('div.problem');
	const act = (text, does, look) => button(text, () => attempt(place, async () => (await does(key)) && again()), look);
	const [update, renew, admin] = [can('keys:update'), can('keys:rotate'), !isOwner()];
	const { overlap, revoked } = key;
	return [
		h('header.head',
			h('div', h('h1', called(key)), h('p.quiet', stateBadge(key.state), ` ${STATES[key.state]?.[2] ?? ''}`)),
			!revoked && h('div.buttons',
				update && link(admin ? 'Change' : 'Rename', to(['keys', key.id, 'edit'])),
				renew && act('Rotate', rotate),
				renew && admin && act('Leaked', replace),
				update && admin && act(key.disabled ? 'Enable' : 'Disable', toggle),
				can('keys:revoke') && act('Revoke', revoke, 'danger'))),
		revoked && notice('bad', `Revoked ${full(revoked.at)}: ${revoked.reason}`),
		overlap && notice('warn', `It was rotated. The old secret works until ${overlap === 'first_use' ? 'somebody uses the new one' : full(overlap.at)}.`),
		place,
	];
}

function details(key) {
	const entries = (title, of) => Object.keys(of).length > 0 && [title, Object.entries(of).map(([name, value]) => h('span.sub', h('code', name), ` ${value}`))];
	const { activity, rotation, ended_secret: ended } = key;
	return h('div.two',
		h('section.card', h('h2', 'What it may do'),
			facts(
				['Permissions', chips(key.permissions, key.roles.length ? 'Those of its roles' : 'None: it says who calls, and no more')],
				key.roles.length > 0 && ['Roles', chips(key.roles)],
				['Networks', chips(key.networks, 'From anywhere')],
				['Rate limit', limit(key.limit)],
				['Quota', quota(key.quota)],
				entries('Labels', key.labels),
				entries('Metadata', key.metadata),
			)),
		h('section.card', h('h2', 'About it'),
			facts(
				['Owner', name(key.owner)],
				key.tenant && ['Tenant', key.tenant],
				['Id', h('code', key.id)],
				['Hint', h('code', key.hint)],
				['Created', full(key.created_at)],
				key.not_before && ['Starts', full(key.not_before)],
				['Ends', key.expires_at ? full(key.expires_at) : 'Never'],
				key.idle_after_ms && ['Ends unused', `After ${span(key.idle_after_ms)}`, activity.idle_at && ` · ${full(activity.idle_at)}`],
				['Last used', when(activity.last_used_at)],
				['Uses in all', activity.uses_total.toLocaleString()],
				['Secret', `Number ${key.version}`, key.secret_expires_at && ` · ends ${full(key.secret_expires_at)}`],
				ended && ['Secret before', `Number ${ended.version} · ended ${full(ended.ended_at)}`],
				rotation && ['Rotation', `Each ${span(rotation.every_ms)} · next ${full(rotation.due)}`, rotation.pending && ' · a new secret waits for its delivery'],
			)));
}
