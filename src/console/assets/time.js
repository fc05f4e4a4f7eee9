// Times and spans.

const MINUTE = 60_000;
export const DAY = 86_400_000;
const UNITS = { day: DAY, hour: 3_600_000, minute: MINUTE, second: 1000, millisecond: 1 };
const FAR = [['year', 365 * DAY], ['month', 30 * DAY], ...Object.entries(UNITS)];

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const format = (style) => {
	const format = new Intl.DateTimeFormat(undefined, style);
	return (time) => format.format(new Date(time));
};
// A time in full, in the reader's own time zone; and a day of UTC, by which uses are counted.
export const full = format({ dateStyle: 'medium', timeStyle: 'short' });
export const date = format({ dateStyle: 'medium', timeZone: 'UTC' });

export function ago(time) {
	const span = new Date(time) - Date.now();
	if (Math.abs(span) < MINUTE) return span < 0 ? 'just now' : 'in a moment';
	const [name, unit] = FAR.find(([, unit]) => Math.abs(span) >= unit);
	return relative.format(Math.trunc(span / unit), name);
}

export function parts(ms) {
	const [name, unit] = Object.entries(UNITS).find(([, unit]) => ms >= unit && ms % unit === 0);
	return [ms / unit, name, unit];
}

export function span(ms) {
	const [n, name] = parts(ms);
	return `${n.toLocaleString()} ${name}${n === 1 ? '' : 's'}`;
}

export const units = Object.entries(UNITS).map(([name, unit]) => [String(unit), `${name}s`]);

// A time as the value of a field, and back.
export const toField = (time) => (time ? new Date(new Date(time) - new Date(time).getTimezoneOffset() * MINUTE).toISOString().slice(0, 16) : '');
export const fromField = (text) => (text ? new Date(text).toISOString() : null);

export const before = (ms) => new Date(Date.now() - ms).toISOString();
