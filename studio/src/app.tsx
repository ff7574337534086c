/** The page: models on the left by task, one of them (or the stream at work) on the right. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { models as lookUp, type Server } from "./api";
import { Live } from "./live";
import { Runner } from "./runner";
import { ORDER, taskOf } from "./tasks";

const LIVE = "live";
const chosenNow = () => (location.hash.startsWith("#/") ? decodeURIComponent(location.hash.slice(2)) : "");

type Theme = "auto" | "light" | "dark";
const THEMES: Theme[] = ["auto", "light", "dark"];

function useTheme(): [Theme, () => void] {
  const [theme, set] = useState<Theme>((localStorage.getItem("theme") as Theme | null) ?? "auto");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  return [theme, () => set(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!)];
}

export function App() {
  const [server, setServer] = useState<Server | null>(null);
  const [problem, setProblem] = useState("");
  const [chosen, setChosen] = useState(chosenNow());
  const [words, setWords] = useState("");
  const [theme, nextTheme] = useTheme();
  const search = useRef<HTMLInputElement>(null);

  useEffect(() => {
    lookUp().then(setServer, (error: Error) => setProblem(error.message));
    const change = () => setChosen(chosenNow());
    const key = (event: KeyboardEvent) => {
      if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test((event.target as Element).tagName)) {
        event.preventDefault();
        search.current?.focus();
      }
    };
    addEventListener("hashchange", change);
    addEventListener("keydown", key);
    return () => { removeEventListener("hashchange", change); removeEventListener("keydown", key); };
  }, []);

  const groups = useMemo(() => {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const found = new Map(ORDER.map((task) => [task, [] as Server["models"]]));
    for (const model of server?.models ?? []) {
      const text = `${model.id} ${model.title} ${model.task} ${model.description ?? ""}`.toLowerCase();
      if (wanted.every((word) => text.includes(word))) found.get(taskOf(model.task))!.push(model);
    }
    return [...found].filter(([, models]) => models.length);
  }, [server, words]);

  const model = server?.models.find((one) => one.id === chosen);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById("main")?.focus(); }}>Skip to the model</a>
      <header class="top">
        <a class="brand" href="#/">headrace <span>studio</span></a>
        <a class="tab" href={`#/${LIVE}`} aria-current={chosen === LIVE ? "page" : undefined}>Stream at work</a>
        <button type="button" onClick={nextTheme} aria-label={`Colours: ${theme}`}>{{ auto: "◐", light: "☀", dark: "☾" }[theme]}</button>
      </header>
      <div class={`columns${model || chosen === LIVE ? " chosen" : ""}`}>
        <nav aria-label="Models">
          <input
            ref={search} type="search" placeholder="Search models ( / )" aria-label="Search models" value={words}
            onInput={(event) => setWords(event.currentTarget.value)}
          />
          {problem && <p class="problem" role="alert">{problem}</p>}
          {!server && !problem && <p class="soft">Looking for models…</p>}
          {groups.map(([task, models]) => (
            <section>
              <h2>{task}</h2>
              <ul>
                {models.map((one) => (
                  <li>
                    <a class="card" href={`#/${encodeURIComponent(one.id)}`} aria-current={one.id === chosen ? "page" : undefined}>
                      <strong>{one.title}</strong>
                      <span>{one.description}</span>
                      {one.weak_at && <small>Bad at: {one.weak_at}</small>}
                    </a>
                  </li>
                ))}
              </ul>
            </section>
          ))}
          {server && !groups.length && <p class="soft">No model has these words.</p>}
        </nav>
        {chosen === LIVE ? <Live /> : model ? <Runner key={model.id} model={model} baseUrl={server!.base_url} /> : <Welcome unknown={server && chosen ? chosen : ""} />}
      </div>
    </>
  );
}

function Welcome({ unknown }: { unknown: string }) {
  return (
    <main id="main" class="welcome" tabIndex={-1}>
      {unknown && <p class="problem" role="alert">There is no model {unknown}.</p>}
      <h1>Choose a model</h1>
      <p>Drop a picture, a sound or a video, type or speak, and see what it makes of it, with the code for the same call.</p>
      <p>Or watch <a href="#/live">a stream at work</a>: queues, windows, drops and retries, as they happen.</p>
    </main>
  );
}
