// What the server is doing, as it does it.

import { For, Show, createEffect, createSignal, onCleanup, onMount } from "solid-js";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { latest, others, points, trouble, watch, type Point } from "../figures";
import { count, minute, number, rate, span } from "../format";
import { Problem } from "../ui/notice";
import { Badge, Page, Part, Table } from "../ui/page";

type Line = { name: string; now: () => string; of: (point: Point) => number | null };

const COLORS = ["--line-1", "--line-2"];

const STATES: Record<string, string> = {
  signs: "signs",
  could_sign: "could sign",
  verifies: "verifies only",
  seals: "seals",
  could_seal: "could seal",
  opens: "opens only",
};

export default function Overview() {
  const ready = watch();
  const last = () => points().at(-1);
  return (
    <Show when={ready()}>
      <Page title="Overview">
        <p class="facts">
          <Show when={latest()}>
            {(figures) => (
              <>
                <span>Signet {figures().version}</span>
                <span>
                  {figures().store === "postgres" ? `node ${figures().node ?? ""} on PostgreSQL` : "embedded store"}
                </span>
                <span>up for {span(figures().uptime_seconds)}</span>
              </>
            )}
          </Show>
        </p>
        <Show when={latest()?.store === "postgres"}>
          <p class="note">
            {`Each node counts by itself: these are the figures of node ${latest()?.node ?? ""} alone. Others that answer here: ${others().join(", ") || "none so far"}.`}
          </p>
        </Show>
        <Problem of={trouble()} />
        <div class="charts">
          <Chart
            title="Verified requests"
            unit="per second"
            total={`${number(latest()?.verified_requests ?? 0)} since the start`}
            lines={[{ name: "verified", now: () => rate(last()?.requests ?? 0), of: (point) => point.requests }]}
          />
          <Chart
            title="Log-ins"
            unit="per second"
            total={`${number(latest()?.logins.succeeded ?? 0)} let in, ${number(latest()?.logins.failed ?? 0)} refused since the start`}
            lines={[
              { name: "let in", now: () => rate(last()?.succeeded ?? 0), of: (point) => point.succeeded },
              { name: "refused", now: () => rate(last()?.failed ?? 0), of: (point) => point.failed },
            ]}
          />
          <Chart
            title="Revocations"
            unit="remembered"
            total="What was ended before its time"
            lines={[{ name: "alive", now: () => number(latest()?.revocations ?? 0), of: (point) => point.revocations }]}
          />
          <Chart
            title="Password hashing"
            unit="passwords"
            total={count(latest()?.pool.workers ?? 0, "thread")}
            lines={[
              { name: "busy", now: () => number(latest()?.pool.busy ?? 0), of: (point) => point.busy },
              { name: "waiting", now: () => number(latest()?.pool.waiting ?? 0), of: (point) => point.waiting },
            ]}
          />
          <Chart
            title="Staleness"
            unit="seconds"
            total={latest()?.store === "postgres" ? "Since other nodes were heard" : "None: the store is not shared"}
            lines={[
              {
                name: "behind",
                now: () => (latest()?.staleness_seconds === null ? "unknown" : rate(latest()?.staleness_seconds ?? 0)),
                of: (point) => point.staleness,
              },
            ]}
          />
          <Part title="Keys">
            <Table
              label="Keys"
              head={
                <>
                  <th scope="col">Key</th>
                  <th scope="col">Use</th>
                  <th scope="col">Age</th>
                </>
              }
              rows={latest()?.keys ?? []}
            >
              {(key) => (
                <tr>
                  <th scope="row">
                    <code>{key.kid}</code>
                  </th>
                  <td>
                    <Badge kind={key.state === "signs" || key.state === "seals" ? "good" : "quiet"}>
                      {STATES[key.state] ?? key.state}
                    </Badge>
                  </td>
                  <td>{key.age_seconds === null ? "unknown" : span(key.age_seconds)}</td>
                </tr>
              )}
            </Table>
          </Part>
        </div>
      </Page>
    </Show>
  );
}

function Chart(props: { title: string; unit: string; total: string; lines: Line[] }) {
  let place!: HTMLDivElement;
  const [plot, setPlot] = createSignal<uPlot | undefined>();
  const lines = props.lines;
  const color = (name: string) => getComputedStyle(place).getPropertyValue(name).trim();
  onMount(() => {
    const axis = {
      stroke: () => color("--quiet"),
      grid: { stroke: () => color("--rule"), width: 1 },
      ticks: { show: false },
    };
    const chart = new uPlot(
      {
        width: Math.max(1, place.clientWidth),
        height: Math.max(1, place.clientHeight),
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { range: (_, min, max) => [Math.min(min, max - 60), max] },
          y: { range: (_, __, max) => [0, Math.max(1, (max || 0) * 1.1)] },
        },
        axes: [
          { ...axis, size: 22, space: 60, values: (_, times) => times.map((time) => minute(time)) },
          { ...axis, size: 40, space: 28 },
        ],
        series: [
          {},
          ...lines.map((line, at) => ({
            label: line.name,
            stroke: () => color(COLORS[at] ?? ""),
            width: 1.5,
            points: { show: false },
            ...(at > 0 ? { dash: [4, 3] } : { fill: () => color("--line-fill") }),
          })),
        ],
      },
      [[], ...lines.map(() => [])],
      place,
    );
    const resized = new ResizeObserver(() => {
      chart.setSize({ width: Math.max(1, place.clientWidth), height: Math.max(1, place.clientHeight) });
    });
    resized.observe(place);
    // A canvas is not told when the theme changes.
    const theme = new MutationObserver(() => {
      chart.redraw(false);
    });
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => {
      chart.redraw(false);
    };
    system.addEventListener("change", redraw);
    setPlot(chart);
    onCleanup(() => {
      system.removeEventListener("change", redraw);
      theme.disconnect();
      resized.disconnect();
      chart.destroy();
    });
  });
  createEffect(() => {
    const now = points();
    plot()?.setData([now.map(({ at }) => at), ...lines.map((line) => now.map(line.of))]);
  });
  return (
    <figure class="chart">
      <figcaption>
        <h2>
          {props.title} <small>{props.unit}</small>
        </h2>
      </figcaption>
      <dl class="now">
        <For each={props.lines}>
          {(line) => (
            <div>
              <dt>{line.name}</dt>
              <dd>{line.now()}</dd>
            </div>
          )}
        </For>
      </dl>
      <div class="plot" ref={place} role="img" aria-label={`${props.title}, ${props.unit}, of the last five minutes`} />
      <p class="hint">{props.total}</p>
    </figure>
  );
}
