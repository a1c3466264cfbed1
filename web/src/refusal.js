// Why the API refused, in its own words.

export async function refusal(response) {
  const { error = {} } = await response.json().catch(() => ({}));
  const rule = error.rule && `${error.parameter}: ${error.rule}`;
  return error.message || rule || `monitord answered with status ${response.status}`;
}
