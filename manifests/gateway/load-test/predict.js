// Load on the gateway, with rows within the ranges on its OpenAPI page. No row occurs twice, so no cache answers.
import { check, fail } from 'k6';
import http from 'k6/http';

const gateway = __ENV.GATEWAY || 'http://gateway';
const rows = Number(__ENV.ROWS || 1);
const headers = { 'Content-Type': 'application/json' };
if (__ENV.API_KEY) headers['X-API-Key'] = __ENV.API_KEY;

export const options = {
  scenarios: {
    predict: {
      executor: 'constant-vus',
      vus: Number(__ENV.CLIENTS || 16),
      duration: __ENV.DURATION || '1m',
    },
  },
  // The test fails if one of these does not hold.
  thresholds: {
    checks: ['rate==1'],
    http_req_duration: [`p(99)<${__ENV.P99_MS || 500}`],
  },
  summaryTrendStats: ['min', 'med', 'p(95)', 'p(99)', 'max'],
};

export function setup() {
  const page = http.get(`${gateway}/openapi.json`);
  const row = page.status === 200 && page.json('components.schemas.Row');
  if (!row) fail(`${gateway}/openapi.json: ${page.status}; the gateway does not know its model yet`);
  return row;
}

export default function (row) {
  const body = JSON.stringify({ rows: Array.from({ length: rows }, () => varied(row)) });
  const answer = http.post(`${gateway}/v1/predict`, body, { headers });
  check(answer, {
    'answered': () => answer.status === 200,
    'a prediction for each row': () => answer.status === 200 && answer.json('predictions').length === rows,
  });
}

// The page's example, with other values for features whose ranges or values the page lists.
function varied(row) {
  return Object.fromEntries(
    Object.entries(row.example).map(([name, value]) => [name, anyOf(row.properties[name], value)]),
  );
}

function anyOf(feature, value) {
  const allowed = (feature.anyOf || [feature]).find((each) => each.type !== 'null');
  if (allowed.enum) return allowed.enum[Math.floor(Math.random() * allowed.enum.length)];
  if (allowed.minimum === undefined || allowed.maximum === undefined) return value;
  const any = allowed.minimum + Math.random() * (allowed.maximum - allowed.minimum);
  return allowed.type === 'integer' ? Math.floor(any) : any;
}
