// How times, spans and numbers are written.

const whenFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const clockFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const minuteFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "short", hourCycle: "h23" });
const numberFormat = new Intl.NumberFormat();
const rateFormat = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

export const when = (time: string): string => whenFormat.format(new Date(time));
export const day = (time: string): string => dayFormat.format(new Date(time));
export const clock = (time: string): string => clockFormat.format(new Date(time));
/** Seconds of the epoch, as a time of the day. */
export const minute = (seconds: number): string => minuteFormat.format(new Date(seconds * 1_000));
export const number = (value: number): string => numberFormat.format(value);
export const rate = (value: number): string => rateFormat.format(value);

/** `3 sessions`, `1 session`. */
export function count(amount: number, one: string, many = `${one}s`): string {
  return `${number(amount)} ${amount === 1 ? one : many}`;
}

/** The largest unit that fits, and the next one. */
export function span(seconds: number): string {
  const units: [string, number][] = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ];
  const whole = Math.max(0, Math.floor(seconds));
  const at = units.findIndex(([, size]) => whole >= size);
  if (at < 0) return "0 s";
  const parts: string[] = [];
  let rest = whole;
  for (const [name, size] of units.slice(at, at + 2)) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount.toString()} ${name}`);
  }
  return parts.join(" ");
}

/** A browser and its system, out of what a client says of itself; its own words when that is not known. */
export function agent(text: string): string {
  const browsers: [RegExp, string][] = [
    [/Edg\/(\d+)/, "Edge"],
    [/OPR\/(\d+)/, "Opera"],
    [/Firefox\/(\d+)/, "Firefox"],
    [/Chrome\/(\d+)/, "Chrome"],
    [/Version\/(\d+).*Safari/, "Safari"],
  ];
  const systems: [RegExp, string][] = [
    [/Android/, "Android"],
    [/iPhone|iPad/, "iOS"],
    [/Windows/, "Windows"],
    [/Mac OS X/, "macOS"],
    [/Linux/, "Linux"],
  ];
  for (const [pattern, name] of browsers) {
    const version = pattern.exec(text)?.[1];
    if (version === undefined) continue;
    const system = systems.find(([known]) => known.test(text))?.[1];
    return `${name} ${version}${system === undefined ? "" : ` on ${system}`}`;
  }
  return text === "" ? "unknown client" : text;
}
