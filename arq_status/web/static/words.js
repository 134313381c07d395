// Times in words, as the server writes them.

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

export const duration = (seconds) => {
  if (seconds > 0 && seconds < 1) return `${Math.floor(seconds * 1000)} ms`;
  if (seconds < 10 && !Number.isInteger(seconds)) return `${Math.floor(seconds * 10) / 10} s`;
  let rest = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [unit, size] of UNITS) {
    const number = Math.floor(rest / size);
    rest %= size;
    if (number || parts.length || unit === "s") parts.push(`${number} ${unit}`);
  }
  const [first, second] = parts;
  return second && !second.startsWith("0 ") ? `${first} ${second}` : first;
};

export const relative = (moment, now) => {
  const seconds = Math.trunc((now - moment) / 1000);
  if (!seconds) return "just now";
  const size = Math.abs(seconds);
  const [unit, length] = UNITS.find(([, it]) => size >= it);
  const number = Math.floor(size / length);
  return seconds > 0 ? `${number} ${unit} ago` : `in ${number} ${unit}`;
};

const zoned = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric",
  hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
});

export const absolute = (moment) => zoned.format(moment);
