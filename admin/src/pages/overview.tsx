// What the server is doing, as it does it.

import { For, Show, createEffect, createSignal, onCleanup, onMount } from "solid-js";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { latest, points, trouble, watch, type Point } from "../figures";
import { number, rate, span } from "../format";
import { Problem } from "../ui/notice";
import { Badge, Page, Part, Table } from "../ui/page";

type Line = { name: string; color: string; of: (point: Point) => number | null };

const STATES: Record<string, string> = {
  signs: "signs",
  could_sign: "could sign",
  verifies: "verifies only",
  seals: "seals",
  could_seal: "could seal",
  opens: "opens only",
};

export default function Overview() {
  watch();
  const last = () => points().at(-1);
  return (
    <Page
      title="Overview"
      aside={
        <p class="facts">
          <Show when={latest()}>
            {(figures) => (
              <>
                <span>Signet {figures().version}</span>
                <span>up for {span(figures().uptime_seconds)}</span>
                <span>
                  {figures().store === "postgres" ? `node ${figures().node ?? ""} on PostgreSQL` : "embedded store"}
                </span>
              </>
            )}
          </Show>
        </p>
      }
    >
      <Show when={trouble()}>{(trouble) => <Problem of={trouble()} />}</Show>
      <div class="charts">
        <Chart
          title="Verified requests"
          unit="per second"
          now={rate(last()?.requests ?? 0)}
          total={`${number(latest()?.verified_requests ?? 0)} since the start`}
          lines={[{ name: "requests", color: "--line-1", of: (point) => point.requests }]}
        />
        <Chart
          title="Log-ins"
          unit="per second, and refused"
          now={`${rate(last()?.succeeded ?? 0)} / ${rate(last()?.failed ?? 0)}`}
          total={`${number(latest()?.logins.succeeded ?? 0)} and ${number(latest()?.logins.failed ?? 0)} refused since the start`}
          lines={[
            { name: "let in", color: "--line-1", of: (point) => point.succeeded },
            { name: "refused", color: "--line-2", of: (point) => point.failed },
          ]}
        />
        <Chart
          title="Revocations"
          unit="remembered"
          now={number(latest()?.revocations ?? 0)}
          total="What ended before its time"
          lines={[{ name: "revocations", color: "--line-1", of: (point) => point.revocations }]}
        />
        <Chart
          title="Password hashing"
          unit="busy, and waiting"
          now={`${number(latest()?.pool.busy ?? 0)} / ${number(latest()?.pool.waiting ?? 0)}`}
          total={`${number(latest()?.pool.workers ?? 0)} threads`}
          lines={[
            { name: "busy", color: "--line-1", of: (point) => point.busy },
            { name: "waiting", color: "--line-2", of: (point) => point.waiting },
          ]}
        />
        <Chart
          title="Staleness"
          unit="seconds"
          now={latest()?.staleness_seconds === null ? "unknown" : rate(latest()?.staleness_seconds ?? 0)}
          total={latest()?.store === "postgres" ? "Since other nodes were heard" : "None: the store is not shared"}
          lines={[{ name: "seconds", color: "--line-1", of: (point) => point.staleness }]}
        />
      </div>
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
        >
          <For each={latest()?.keys ?? []}>
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
          </For>
        </Table>
      </Part>
    </Page>
  );
}

function Chart(props: { title: string; unit: string; now: string; total: string; lines: Line[] }) {
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
        scales: { y: { range: (_, __, max) => [0, Math.max(1, (max || 0) * 1.1)] } },
        axes: [
          { ...axis, size: 22, space: 60 },
          { ...axis, size: 40, space: 28 },
        ],
        series: [
          {},
          ...lines.map((line, at) => ({
            label: line.name,
            stroke: () => color(line.color),
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
        <h2>{props.title}</h2>
        <p>
          <strong>{props.now}</strong> {props.unit}
        </p>
      </figcaption>
      <div
        class="plot"
        ref={place}
        role="img"
        aria-label={`${props.title} over the last five minutes, now ${props.now} ${props.unit}`}
      />
      <p class="hint">{props.total}</p>
    </figure>
  );
}
