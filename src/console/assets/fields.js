// Fields that several forms have.

import { h, set } from './dom.js';
import { checks, field, group, input, more, number, select } from './form.js';
import { can, isOwner } from './session.js';
import { DAY, parts, units } from './time.js';
import { gives } from './words.js';

export function spanField(name, label, ms, more) {
	const [n, , unit] = parts(ms || DAY);
	const beside = set(select(units, String(unit)), { name: `${name}.unit`, 'aria-label': `${label}: unit` });
	return field(name, label, number(ms && n), { ...more, beside });
}

export const readSpan = (data, name) => data.get(name) * data.get(`${name}.unit`) || null;

export const limits = (of) => [
	h('div.columns', { 'data-field': 'limit' },
		field('limit.count', 'Rate limit: requests', number(of?.limit?.count)),
		spanField('limit.per', 'in', of?.limit?.per_ms ?? 60_000),
		h('p.error')),
	h('div.columns', { 'data-field': 'quota' },
		field('quota.count', 'Quota: uses', number(of?.quota?.count)),
		field('quota.per', 'in', select([['day', 'each day'], ['month', 'each month'], ['total', 'all of its time']], of?.quota?.per)),
		h('p.error')),
];

export function readLimits(data, of) {
	const [limit, quota] = ['limit.count', 'quota.count'].map((name) => Number(data.get(name)) || null);
	return {
		limit: limit && { count: limit, per_ms: readSpan(data, 'limit.per') },
		// What the form does not show stays: the offset, and whether it is strict.
		quota: quota && { ...of?.quota, count: quota, per: data.get('quota.per') },
	};
}

const OF_KEYS = ['keys:*', 'tenants:*', 'roles:*', 'events:*', 'usage:*'];

export function grants(offered, held = []) {
	const ofStore = ({ name }) => gives(OF_KEYS, name);
	// What an owner may give is not what they have themselves.
	const mine = offered.permissions.filter((one) => (isOwner() ? !ofStore(one) : can(one.name)) || held.includes(one.name));
	const others = held.filter((grant) => !mine.some(({ name }) => name === grant));
	const boxes = (all) => checks('checkbox', 'permissions', all.map(({ name, doc, handlers }) => {
		const opens = handlers.map((path) => path.split('::').slice(-2).join('::')).join(', ');
		return [name, h('code', name), `${doc}${opens && ` Opens ${opens}.`}`];
	}), held);
	const ofKeys = mine.filter(ofStore);
	return group('permissions add_permissions', 'Permissions',
		boxes(mine.filter((one) => !ofKeys.includes(one))),
		ofKeys.length > 0 && more('To manage keys', ofKeys.some(({ name }) => held.includes(name)), boxes(ofKeys)),
		!isOwner() && more('Wildcards', others.length,
			field('grants', 'Grants, separated by spaces', input({ value: others.join(' '), placeholder: 'orders:*' }), { hint: 'A * stands for one segment, and at the end for one or more.' })));
}

export const readGrants = (data) => [...new Set([...data.getAll('permissions'), ...words(data.get('grants'))])];

export const words = (text) => (text ?? '').split(/[\s,]+/).filter(Boolean);
