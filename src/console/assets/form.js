// Forms: labelled fields, and errors beside the field that they are about.

import { add, failed, fill, h, newId, set } from './dom.js';

// Pointers of problems may say any of the names.
export function field(names, label, control, { hint, required, beside } = {}) {
	const id = newId();
	set(control, { id, name: control.name || names.split(' ')[0], 'aria-describedby': `${id}h ${id}e`, 'aria-required': required && 'true' });
	return h('div.field', { 'data-field': names },
		h('label', { for: id }, label, required && h('span.quiet', ' required')),
		hint && h('p.hint', { id: `${id}h` }, hint),
		beside ? h('div.pair', control, beside) : control,
		h('p.error', { id: `${id}e` }));
}

export const group = (names, label, ...parts) => h('fieldset.field', { 'data-field': names }, h('legend', label), parts, h('p.error'));

export const input = (more) => h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', ...more });
export const number = (value) => input({ type: 'number', min: 1, value: value ?? '' });
export const lines = (value, placeholder) => h('textarea', { rows: 2, spellcheck: 'false', placeholder, value: value.join('\n') });
export const select = (options, value) => h('select', options.map(([key, text]) => h('option', { value: key, selected: key === value }, text)));

export const checks = (type, name, options, held) =>
	h('div.checks', options.map(([value, text, doc]) => {
		const id = newId();
		const box = h('input', { type, name, value, id, checked: held.includes(value), 'aria-describedby': `${id}d` });
		return h('div.check', box, h('label', { for: id }, text), h('span.hint', { id: `${id}d` }, doc));
	}));

export const more = (summary, open, ...parts) => h('details', { open: Boolean(open) }, h('summary', summary), parts);

export const reason = () => field('reason', 'Reason', input({ maxlength: 256 }), { hint: 'It stays in the history.' });

export const texts = (data, ...names) => Object.fromEntries(names.map((name) => [name, data.get(name)?.trim()]).filter(([, text]) => text));

// A form. What `act` throws is shown beside its field; what was typed stays. A `quiet` one may be left without a question.
export function form({ fields, action, look = 'primary', cancel, act, quiet }) {
	const submit = h(`button.${look}`, { type: 'submit' }, action);
	const problem = h('div.problem');
	const element = h('form', { novalidate: true }, fields, problem, h('div.actions', submit, cancel));
	let busy = false;
	if (!quiet) element.addEventListener('input', () => (element.dataset.dirty = ''));
	element.addEventListener('submit', async (event) => {
		event.preventDefault();
		if (busy) return;
		busy = true;
		set(submit, { 'aria-disabled': 'true' });
		element.querySelectorAll('.error, .problem').forEach((error) => fill(error));
		element.querySelectorAll('[aria-invalid]').forEach((control) => set(control, { 'aria-invalid': null }));
		try {
			await act(new FormData(element), element);
			delete element.dataset.dirty;
		} catch (error) {
			if (error.name !== 'AbortError') show(element, problem, error);
		}
		busy = false;
		set(submit, { 'aria-disabled': null });
	});
	return element;
}

// Whether something would be lost: what was typed, or a secret that nobody has copied.
export const isDirty = () => document.querySelector('form[data-dirty], dialog[closedby=none]') !== null;

function show(element, problem, error) {
	const errors = error.errors ?? [];
	const rest = errors.filter((one) => !point(element, one));
	if (rest.length || !errors.length) add(problem, failed(rest[0] ?? error));
	const invalid = element.querySelector('[aria-invalid]');
	for (let at = invalid; at; at = at.parentElement.closest('details')) at.open = true;
	if (invalid) invalid.focus();
	else problem.scrollIntoView({ block: 'nearest' });
}

function point(element, { pointer = '', detail }) {
	const [name] = pointer.replace(/^#?\//, '').split('/');
	const at = name && element.querySelector(`[data-field~="${CSS.escape(name)}"]`);
	if (!at) return false;
	fill([...at.querySelectorAll('.error')].at(-1), detail);
	set(at.querySelector('input, select, textarea'), { 'aria-invalid': 'true' });
	return true;
}

export const invalid = (name, detail) => Object.assign(new Error(detail), { errors: [{ pointer: `#/${name}`, detail }] });
