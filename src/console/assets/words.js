// Codes and names in words.

import { full, span } from './time.js';

export const STATES = {
	active: ['good', 'Active', 'It works.'],
	inactive: ['warn', 'Not yet valid', 'It has not begun.'],
	idle: ['bad', 'Idle', 'Nobody used it for too long.'],
	expired: ['bad', 'Expired', 'It has reached its end.'],
	no_secret: ['bad', 'No secret', 'Rotate it to use it again.'],
	disabled: ['warn', 'Disabled', 'It is refused until somebody enables it.'],
	revoked: ['bad', 'Revoked', 'It is refused for good.'],
};

const CODES = {
	ok: 'Accepted',
	invalid_api_key: 'Unknown key',
	rotated_api_key: 'Old secret, after a rotation',
	idle_api_key: 'Not used for too long',
	inactive_api_key: 'Not yet valid',
};

export const sentence = (name) => CODES[name] ?? (name[0].toUpperCase() + name.slice(1)).replace('_api_key', ' key').replaceAll('_', ' ');

export const count = (n, noun) => `${n.toLocaleString()} ${noun}${n === 1 ? '' : 's'}`;

export const bytes = (n) => (n < 2 ** 20 ? `${Math.ceil(n / 1024)} KiB` : `${Math.ceil(n / 2 ** 20).toLocaleString()} MiB`);

export const limit = (limit) => (limit ? `${limit.count.toLocaleString()} in ${span(limit.per_ms)}` : 'None');
export const quota = (quota) => (quota ? `${quota.count.toLocaleString()} ${quota.per === 'total' ? 'in all' : `a ${quota.per}`}` : 'None');

export function text(value) {
	if (value === true) return 'yes';
	if (value === null || value.length === 0) return 'none';
	if (Array.isArray(value)) return value.join(', ');
	if (typeof value !== 'object') return /^\d{4}-\d\d-\d\dT/.test(value) ? full(value) : String(value);
	if ('from' in value && 'to' in value) return `${text(value.from)} → ${text(value.to)}`;
	if (value.per_ms) return limit(value);
	if (value.per) return quota(value);
	return Object.entries(value).map(([name, one]) => `${name}: ${text(one)}`).join(', ') || 'none';
}

// A `*` stands for a segment, and at the end for one or more.
export function gives(grants, permission) {
	const wanted = permission.split(':');
	return grants.some((grant) => {
		const parts = grant.split(':');
		const fits = parts.at(-1) === '*' ? wanted.length >= parts.length : wanted.length === parts.length;
		return fits && parts.every((part, at) => part === '*' || part === wanted[at]);
	});
}
