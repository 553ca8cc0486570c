// Numbers, durations and names as people read them.

export const NONE = "–";

export function count(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)}G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 1 : 0);
}

export function perSecond(value) {
  if (value === null || value === undefined) return NONE;
  return value > 0 && value < 0.1 ? "<0.1" : count(value);
}

/** A part of the whole in per cent, never rounded to all or nothing when it is not. */
export function percent(part) {
  if (part === null || part === undefined || Number.isNaN(part)) return NONE;
  if (part === 1) return "100 %";
  if (part === 0) return "0 %";
  if (part > 0.9999) return ">99.99 %";
  if (part < 0.0001) return "<0.01 %";
  return `${(part * 100).toFixed(part > 0.99 || part < 0.01 ? 2 : 1)} %`;
}

export function ms(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return NONE;
  if (value >= 10000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${value.toFixed(0)} ms`;
  return `${value.toFixed(value >= 10 ? 1 : 2)} ms`;
}

export function seconds(value) {
  if (value === null || value === undefined) return NONE;
  const whole = Math.max(0, value);
  if (whole < 10) return `${whole.toFixed(1)} s`;
  if (whole < 120) return `${whole.toFixed(0)} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`;
}

export function bytes(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 2 ** 30) return `${(value / 2 ** 30).toFixed(1)} GiB`;
  if (value >= 2 ** 20) return `${(value / 2 ** 20).toFixed(1)} MiB`;
  if (value >= 2 ** 10) return `${(value / 2 ** 10).toFixed(1)} KiB`;
  return `${value} B`;
}

/** A load as its balancer compares it. */
export function load(value) {
  return value === 0 ? "0" : Number(value.toPrecision(3)).toString();
}

export function share(weight) {
  return percent(Math.min(1, weight));
}

/** The time of day of a record, to the millisecond. */
export function clock(text) {
  const date = new Date(text);
  const two = (number) => String(number).padStart(2, "0");
  const at = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${at}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
