// The fields of a key, for creating and for changing one.

import { h, set } from './dom.js';
import { grants, limits, readGrants, readLimits, readSpan, spanField, words } from './fields.js';
import { checks, field, group, input, lines, more, select } from './form.js';
import { isOwner, who } from './session.js';
import { DAY, before, fromField, span, toField } from './time.js';

const asEntries = (text) => Object.fromEntries(text.split('\n').filter((line) => line.trim()).map((line) => /^([^=]*)=?(.*)$/.exec(line).slice(1).map((part) => part.trim())));

export function keyFields(key, offered, roles) {
	const admin = !isOwner();
	const entries = (name, label, example, hint) => field(name, label, lines(Object.entries(key?.[name] ?? {}).map((entry) => entry.join('=')), example), { hint });
	const name = field('name', 'Name', input({ value: key?.name ?? '', maxlength: 128 }), { hint: 'Where it is used.' });
	if (key && !admin) return name;
	return [
		!key && admin && field('owner', 'Owner', input({ maxlength: 128 }), { required: true, hint: 'The user or application that the key belongs to.' }),
		!key && admin && !who.tenant && field('tenant', 'Tenant', input({ maxlength: 64 })),
		name,
		grants(offered, key?.permissions),
		roles?.length > 0 && group('roles add_roles', 'Roles', checks('checkbox', 'roles', roles.map(({ name, description, permissions }) => [name, h('code', name), description || permissions.join(', ')]), key?.roles ?? [])),
		ends(key),
		more(admin ? 'Networks, limits, rotation, metadata' : 'Networks', key,
			field('networks', 'Networks', lines(key?.networks ?? [], '10.0.0.0/8'), { hint: 'The key works from these alone. One a line.' }),
			admin && [
				limits(key),
				spanField('idle_after_ms', 'Ends when nobody uses it for', key?.idle_after_ms),
				h('div.columns',
					spanField('rotation', 'New secret each', key?.rotation?.every_ms),
					spanField('overlap', 'The old one works on for', key?.rotation?.overlap_ms, { hint: 'Empty: until the first use of the new one.' })),
				entries('metadata', 'Metadata', 'team=blue', 'One a line.'),
				entries('labels', 'Labels', 'plan=pro', 'What the service reads. One a line.'),
			]),
	];
}

function ends(key) {
	const most = who.max_lifetime_ms ?? Infinity;
	const presets = [30, 90, 365].map((days) => days * DAY).filter((ms) => ms <= most);
	const after = (ms) => toField(before(-ms));
	const at = input({ type: 'datetime-local', value: key ? toField(key.expires_at) : after(Math.min(90 * DAY, most)) });
	const preset = select([['', 'In …'], ...presets.map((ms) => [String(ms), `In ${span(ms)}`])]);
	set(preset, { 'aria-label': 'Ends: presets', change: () => (at.value = preset.value && after(Number(preset.value))) });
	return field('expires_at', 'Ends', at, { beside: preset, hint: most < Infinity ? `At most ${span(most)} from now.` : 'Empty: never.' });
}

// What the fields have, as the API takes it; null for what is empty.
export function readKey(data, key, roles) {
	const text = (name) => data.get(name)?.trim() || null;
	if (key && isOwner()) return { name: text('name') };
	const all = { name: text('name'), permissions: readGrants(data), expires_at: data.get('expires_at') === toField(key?.expires_at) ? key?.expires_at ?? null : fromField(data.get('expires_at')), networks: words(data.get('networks')) };
	if (isOwner()) return { owner: who.owner, ...all };
	const every_ms = readSpan(data, 'rotation');
	return {
		...(!key && { owner: text('owner') ?? '', tenant: text('tenant') }),
		...all,
		// Who may not list the roles is not shown those of the key, either.
		...(roles && { roles: data.getAll('roles') }),
		...readLimits(data, key),
		idle_after_ms: readSpan(data, 'idle_after_ms'),
		rotation: every_ms && { every_ms, overlap_ms: readSpan(data, 'overlap') },
		metadata: asEntries(data.get('metadata')),
		labels: asEntries(data.get('labels')),
	};
}

const isEmpty = (value) => value === null || (typeof value === 'object' && !Object.keys(value).length);

export const compact = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => !isEmpty(value)));

export function patch(key, next) {
	const changes = {};
	for (const [name, value] of Object.entries(next)) {
		let before = key[name];
		if (name === 'rotation' && before) before = { every_ms: before.every_ms, overlap_ms: before.overlap_ms };
		if (sorted(before) === sorted(value)) continue;
		const entries = name === 'metadata' || name === 'labels';
		const gone = entries ? Object.keys(before).filter((entry) => !(entry in value)) : [];
		if (entries) changes[name] = { ...value, ...Object.fromEntries(gone.map((entry) => [entry, null])) };
		else changes[name] = name === 'networks' && isEmpty(value) ? null : value;
	}
	return changes;
}

function sorted(value) {
	const whole = value && typeof value === 'object';
	return JSON.stringify(whole ? (Array.isArray(value) ? value : Object.entries(value)).toSorted() : (value ?? null));
}
