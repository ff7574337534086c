/** A stream at work: what waits, what is in flight, what is dropped and why, and how long answers take. */

import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { socket } from "./api";

interface Counts {
  time: number;
  queued: number;
  in_flight: number;
  window: number;
  totals: Record<string, number>;
  latency: { p50: number; p95: number; p99: number };
}

const SECONDS = 30;
const POINTS = SECONDS * 10;

const SLIDERS = [
  ["rate", "Inputs a second", 1, 300, 1, 40],
  ["window", "Window", 1, 64, 1, 8],
  ["prefetch", "Queue before it", 1, 64, 1, 16],
  ["delay", "The model takes, ms", 0, 1000, 10, 100],
  ["reading", "The reader takes, ms", 0, 200, 1, 0],
  ["failures", "Refused for now, %", 0, 50, 1, 0],
] as const;

const POLICIES = { block: "the source waits", drop_oldest: "drops the oldest", drop_newest: "drops the newest", latest: "keeps the latest only" };

type Values = Record<string, number>;
const wire = (name: string, value: number) => (name === "delay" || name === "reading" ? value / 1000 : name === "failures" ? value / 100 : value);

const ago = (seconds: number) => (seconds < 0.5 ? "now" : `−${Math.round(seconds)} s`);

interface PlotProps {
  title: string;
  series: { label: string; colour: string; dash?: number[]; fill?: boolean }[];
  rows: number[][];
  unit?: string;
}

function Plot({ title, series, rows, unit = "" }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const last = rows.map((row) => row.at(-1) ?? 0);
  useEffect(() => {
    const styles = getComputedStyle(document.documentElement);
    const line = styles.getPropertyValue("--line").trim();
    const text = styles.getPropertyValue("--soft").trim();
    const made = new uPlot(
      {
        width: place.current!.clientWidth || 300,
        height: 170,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false, range: (_plot, _low, high) => [high - SECONDS, high] }, y: { range: (_plot, _low, high) => [0, Math.max((high || 0) * 1.1, 1)] } },
        axes: [
          { stroke: text, grid: { stroke: line, width: 1 }, ticks: { show: false }, values: (plot, at) => at.map((one) => ago((plot.scales.x!.max ?? one) - one)), size: 28 },
          { stroke: text, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 52 },
        ],
        series: [{}, ...series.map((one) => ({ stroke: one.colour, width: 2, dash: one.dash, fill: one.fill ? `${one.colour}22` : undefined, points: { show: false } }))],
      },
      [[], ...series.map(() => [])] as uPlot.AlignedData,
      place.current!,
    );
    plot.current = made;
    const watch = new ResizeObserver(() => place.current && made.setSize({ width: place.current.clientWidth, height: 170 }));
    watch.observe(place.current!);
    return () => { watch.disconnect(); made.destroy(); };
  }, []);
  useEffect(() => { plot.current?.setData(rows as unknown as uPlot.AlignedData); }, [rows]);
  return (
    <figure class="plot">
      <figcaption>
        <strong>{title}</strong>
        {series.map((one, at) => (
          <span class={`key key-${one.label.replaceAll(" ", "-")}`}>
            <i ref={(node) => { if (node) node.style.background = one.colour; }} />
            {one.label} <output data-testid={one.label}>{(last[at + 1] ?? 0).toFixed(unit === "ms" ? 0 : 1).replace(/\.0$/, "")}</output>{unit && ` ${unit}`}
          </span>
        ))}
      </figcaption>
      <div ref={place} role="img" aria-label={`${title}, the last ${SECONDS} seconds`} />
    </figure>
  );
}

const CAUSES = ["drop_oldest", "drop_newest", "latest"];

export function Live() {
  const [values, setValues] = useState<Values>(Object.fromEntries(SLIDERS.map(([name, , , , , value]) => [name, value])));
  const [overflow, setOverflow] = useState<keyof typeof POLICIES>("block");
  const [problem, setProblem] = useState("");
  const [history, setHistory] = useState<Counts[]>([]);
  const ws = useRef<WebSocket | null>(null);

  useEffect(() => {
    const opened = socket("/api/live");
    ws.current = opened;
    let begin = 0;
    opened.onopen = () => opened.send(JSON.stringify({ ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, wire(name, value)])), overflow }));
    opened.onmessage = (event) => {
      const counts = JSON.parse(event.data as string) as Counts & { error?: { message: string } };
      if (counts.error) return setProblem(counts.error.message);
      begin ||= counts.time;
      setHistory((before) => [...before.slice(-POINTS), { ...counts, time: counts.time - begin }]);
    };
    opened.onclose = () => setProblem((before) => before || "The connection was closed. Load the page again.");
    return () => { opened.onclose = null; opened.close(); };
  }, []);

  const tell = (change: Record<string, unknown>) => ws.current?.readyState === WebSocket.OPEN && ws.current.send(JSON.stringify(change));
  const slide = (name: string, value: number) => { setValues((before) => ({ ...before, [name]: value })); tell({ [name]: wire(name, value) }); };

  const times = history.map((one) => one.time);
  const rate = (name: string) => history.map((one, at) => {
    const before = history[Math.max(0, at - 10)]!;
    const seconds = one.time - before.time;
    return seconds > 0 ? Math.max(0, ((one.totals[name] ?? 0) - (before.totals[name] ?? 0)) / seconds) : 0;
  });
  const latest = history.at(-1);
  const total = (name: string) => latest?.totals[name] ?? 0;
  return (
    <main id="main" class="live">
      <header>
        <h1>A stream at work</h1>
        <p>
          Made-up inputs go through a real stream of headrace to a made-up model. Move the sliders: see when the queue fills,
          what the window holds back, and what each policy drops.
        </p>
      </header>
      {problem && <p class="problem" role="alert">{problem}</p>}
      <section class="sliders" aria-label="Settings">
        {SLIDERS.map(([name, label, low, high, step]) => (
          <label>
            <span>{label} <b>{values[name]}</b></span>
            <input type="range" name={name} min={low} max={high} step={step} value={values[name]} onInput={(event) => slide(name, Number(event.currentTarget.value))} />
          </label>
        ))}
        <label>
          <span>A full queue</span>
          <select
            name="overflow" value={overflow}
            onChange={(event) => { const chosen = event.currentTarget.value as keyof typeof POLICIES; setOverflow(chosen); tell({ overflow: chosen }); }}
          >
            {Object.entries(POLICIES).map(([name, text]) => <option value={name}>{`${name}: ${text}`}</option>)}
          </select>
        </label>
      </section>
      <div class="plots">
        <Plot
          title="Waiting and in flight"
          series={[{ label: "queue", colour: "#f59f00", fill: true }, { label: "in flight", colour: "#1c7ed6", fill: true }, { label: "window", colour: "#868e96", dash: [5, 5] }]}
          rows={[times, history.map((one) => one.queued), history.map((one) => one.in_flight), history.map((one) => one.window)]}
        />
        <Plot
          title="Answers a second"
          series={[{ label: "inputs", colour: "#868e96" }, { label: "answers", colour: "#2f9e44" }, { label: "retries", colour: "#ae3ec9" }]}
          rows={[times, rate("pulled"), rate("received"), rate("retries")]}
        />
        <Plot
          title="Drops a second"
          series={[{ label: "oldest", colour: "#e03131" }, { label: "newest", colour: "#f76707" }, { label: "latest", colour: "#e64980" }]}
          rows={[times, ...CAUSES.map((cause) => rate(`drop:${cause}`))]}
        />
        <Plot
          title="Latency" unit="ms"
          series={[{ label: "p50", colour: "#1c7ed6" }, { label: "p95", colour: "#f59f00" }, { label: "p99", colour: "#e03131" }]}
          rows={[times, ...(["p50", "p95", "p99"] as const).map((name) => history.map((one) => one.latency[name] * 1000))]}
        />
      </div>
      <dl class="numbers">
        <div><dt>pulled</dt><dd>{total("pulled")}</dd></div>
        <div><dt>answered</dt><dd data-testid="answered">{total("received")}</dd></div>
        <div><dt>failed</dt><dd>{total("errors")}</dd></div>
        <div><dt>dropped</dt><dd data-testid="dropped">{[...CAUSES, "closed", "max_age"].reduce((sum, cause) => sum + total(`drop:${cause}`), 0)}</dd></div>
        <div><dt>sent again</dt><dd>{total("retries")}</dd></div>
      </dl>
    </main>
  );
}
