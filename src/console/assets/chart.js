// Charts: SVG, and a sentence and a table for who does not see it.

import { get } from './api.js';
import { add, button, fill, h, load, svg } from './dom.js';
import { to } from './router.js';
import { Table } from './table.js';
import { DAY, before, date, full } from './time.js';
import { count, sentence } from './words.js';

export const refused = ({ refusals = {} }) => Object.values(refusals).reduce((all, one) => all + one, 0);
const summary = (report) => `${count(report.uses, 'use')}, ${refused(report).toLocaleString()} refused`;
const highest = (points) => Math.max(0, ...points.map((point) => point.uses + refused(point)));

function picture({ points }, look, height, gap, label) {
	const scale = (n) => n && Math.max(height / 24, (n / (highest(points) * 1.05)) * height);
	const bar = (x, y, height, look) => height > 0 && svg(`rect.${look}`, { x, y, width: 1 - gap, height });
	const bars = points.map((point, at) => {
		const [good, bad] = [scale(point.uses), scale(refused(point))];
		return [bar(at, height - good, good, 'used'), bar(at, height - good - bad, bad, 'refused')];
	});
	const box = `0 0 ${points.length || 1} ${height}`;
	return svg(`svg.${look}`, { viewBox: box, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, bars);
}

export const usage = (of, month, signal) =>
	get('usage', [...of, ['step', month ? 'day' : 'hour'], ['since', before(month ? 29 * DAY : DAY - 3_600_000)]], signal);

export const spark = (report) => picture(report, 'spark', 24, 0.3, `${summary(report)} in 30 days`);

function chart(title, report) {
	const { points, refusals, uses } = report;
	const time = report.step === 'day' ? date : full;
	const item = ([name, n], look = 'refused') => h(`li.${look}`, `${sentence(name)} `, h('b', n.toLocaleString()));
	const numbers = h('details', h('summary', 'The numbers'));
	const table = new Table(title, [
		['From', (point) => time(point.at)],
		['Used', (point) => point.uses.toLocaleString(), 'number'],
		['Refused', (point) => refused(point).toLocaleString(), 'number'],
	]);
	numbers.addEventListener('toggle', () => add(numbers, table.show([...points].reverse())), { once: true });
	return h('figure.chart',
		h('figcaption', h('span', title), h('span', summary(report))),
		h('div.plot', h('span.most', highest(points).toLocaleString()), picture(report, 'bars', 100, 0.2, `${title}: ${summary(report)}`)),
		h('div.axis', points.length > 0 && [points[0], points.at(-1)].map((point) => h('span', time(point.at)))),
		h('ul.legend', item(['ok', uses], 'used'), Object.entries(refusals).sort((a, b) => b[1] - a[1]).map((one) => item(one))),
		report.covers === 'this_node' && h('p.hint', 'Counted by this node alone.'),
		numbers);
}

// A card with the chart of a day or of a month, as the address bar says.
export function uses(title, path, of, query, signal) {
	const [place, tabs] = [h('div.plots'), h('div.tabs')];
	const show = (month) => {
		const tab = (text, on) => button(text, () => (history.replaceState(null, '', to(path, [['period', on && '24h']])), show(!on), tabs.querySelector('[aria-pressed=true]').focus()), 'tab', { 'aria-pressed': String(on !== month) });
		fill(tabs, tab('24 hours', true), tab('30 days', false));
		load(place, usage(of, month, signal), (report) => {
			const old = report.points.findLast((point) => point.refusals?.rotated_api_key);
			return [
				chart(month ? 'In 30 days, by day' : 'In 24 hours, by hour', report),
				old && path[1] && h('p.hint', `The old secret was last tried ${month ? `on ${date(old.at)}` : `in the hour from ${full(old.at)}`}.`),
			];
		}, () => show(month));
	};
	show(query.get('period') !== '24h');
	return h('section.card', h('div.head', h('h2', title), tabs), place);
}
