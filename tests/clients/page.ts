import type { UsageProject } from './usage-stats';

const element = document.querySelector('usage-stats');
if (element === null) throw new Error('no element');

element.token = async (rejected) => (rejected ? null : 'secret');
element.token = 'secret';
element.strings = { refresh: 'Aktualisieren' };
element.src = '/api/usage';
element.addEventListener('usage-load', ({ detail }) => console.log(BigInt(detail.totalRequests)));
element.addEventListener('usage-error', ({ detail }) => console.log(detail.status, detail.message));
document.addEventListener('usage-open', (event) => open(event.detail.project));
await element.refresh();

function open(project: UsageProject): string {
  return project.name ?? String(project._id);
}

// @ts-expect-error a token is not a number
element.token = 5;
// @ts-expect-error a token cannot be a function that returns a number
element.token = async () => 5;
export {};
