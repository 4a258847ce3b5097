import { html } from 'hono/html';
import type { CitedArticle, ProcessingRecord, RecordPart } from '../access/record-of-processing.ts';
import type { PackDocument, Texts } from '../pdp/document.ts';
import { isObject } from '../pdp/facts.ts';
import { placeTitle, textIn, valueTitle, wordsIn } from '../pdp/words.ts';
import { type RecordWords, recordWords } from './record-page-words.ts';
import { PAGE_HEADERS } from './security.ts';

type Html = ReturnType<typeof html>;
type Table = NonNullable<RecordPart['datasets']>;

/** How the texts of one page are read. */
interface Reading {
  readonly record: ProcessingRecord;
  readonly pack: PackDocument;
  readonly language: string;
  readonly words: RecordWords;
  /** What rows are about, by id. */
  readonly names: ReadonlyMap<string, Html>;
}

/** Wider tables are unreadable on paper: each row becomes a list. */
const MAX_COLUMNS = 6;

const STYLE = `
  :root { color-scheme: light; }
  body { font: 15px/1.45 system-ui, sans-serif; color: #1b1b1b; margin: 2rem auto; max-width: 70rem; padding: 0 1.25rem; }
  h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .2rem; border-bottom: 2px solid #1f5f4a; padding-bottom: .2rem; }
  h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
  p { margin: .3rem 0; } small, .quiet { color: #555; font-size: .85rem; } code { font-size: .8rem; overflow-wrap: anywhere; }
  .sheet { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .8rem 0; } .sheet dt { color: #555; } .sheet dd { margin: 0; }
  table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .6rem 0; } caption { text-align: left; font-weight: 600; padding: .5rem 0 .2rem; }
  th, td { border: 1px solid #bbb; padding: .3rem .5rem; text-align: left; vertical-align: top; } thead th { background: #eef3f0; } tbody th { font-weight: 500; min-width: 11rem; }
  .cards { display: grid; gap: .6rem; } .card { border: 1px solid #bbb; padding: .4rem .7rem; break-inside: avoid; }
  .card dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .3rem 1rem; margin: .3rem 0; } .card dt { color: #555; font-size: .8rem; } .card dd { margin: 0; }
  .missing { color: #8a3b00; font-style: italic; } .review { background: #fff3dc; border-left: 4px solid #c77700; padding: .4rem .7rem; margin: .5rem 0; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .75rem; background: #f5f5f5; padding: .6rem; }
  @page { size: A4 landscape; margin: 14mm; }
  @media print { body { margin: 0; max-width: none; padding: 0; font-size: 10pt; } tr { break-inside: avoid; } h2, h3, caption { break-after: avoid; } thead { display: table-header-group; } }
`;

/** A record of processing as a page that needs nothing from elsewhere and prints on A4. */
export async function recordPage(
  record: ProcessingRecord,
  pack: PackDocument,
  language: string,
): Promise<{ readonly body: string; readonly headers: Readonly<Record<string, string>> }> {
  const { words, lang } = recordWords(language);
  const names = namesOf(record, language, words);
  const reading: Reading = { record, pack, language, words, names };
  const title = textIn(record.title, language);
  const name = textIn(record.controller.name, language);
  const page = await html`<!doctype html>
<html lang="${lang}">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>${title}: ${name}</title>
    <style>${STYLE}</style>
  </head>
  <body>
    <header>
      <h1>${title}</h1>
      ${headOf(reading, name)}
      ${citations(record.citations, reading)}
      ${
        record.pack.reviewed_by === null
          ? html`<p class="review">${words.not_reviewed}</p>`
          : html`<p>${words.reviewed_by} ${record.pack.reviewed_by}</p>`
      }
    </header>
    <main>
      ${record.sections.map((section, i) => sectionOf(section, i + 1, reading))}
      ${evidence(reading)}
    </main>
  </body>
</html>
`;
  return {
    body: String(page),
    headers: { ...PAGE_HEADERS, 'content-type': 'text/html; charset=utf-8' },
  };
}

function headOf({ record, pack, language, words }: Reading, name: string): Html {
  const { controller, taken_at, checkpoint } = record;
  const form = valueTitle(pack, 'request.requester.legal_form', controller.legal_form, language);
  return html`<dl class="sheet">
        <dt>${words.of}</dt><dd><strong>${name}</strong> <small>${controller.id}</small>, ${form}, ${placeTitle(controller.country, language)}${controller.homepage === null ? '' : html`, ${controller.homepage}`}</dd>
        <dt>${words.taken}</dt><dd><time>${taken_at}</time></dd>
        <dt>${words.pack}</dt><dd>${textIn(record.pack.title, language)}, ${wordsIn(language).labels.version} ${record.pack.version} <code>${record.pack.sha256}</code></dd>
        <dt></dt><dd>${checkpoint ? words.checkpoint.replace('{size}', String(checkpoint.size)) : words.no_checkpoint}</dd>
      </dl>`;
}

/** Articles by their instrument; those that were not read with high confidence stand out. */
function citations(cites: readonly CitedArticle[], { language, words }: Reading): Html {
  const { labels, confidences, colon } = wordsIn(language);
  const instruments = [...new Set(cites.map(({ instrument }) => instrument))];
  const article = ({ article: name, confidence }: CitedArticle): Html => {
    const text = `${name} (${labels.confidence}${colon} ${confidences[confidence]})`;
    return confidence === 'high' ? html`${text}` : html`<strong class="missing">${text}</strong>`;
  };
  return html`<p class="quiet">${words.rests_on}${colon} ${instruments.map((instrument) => {
    const of = cites.filter((each) => each.instrument === instrument);
    const title = textIn(of[0]?.title ?? {}, language);
    return html`${title}${colon} ${of.map((each, i) => html`${i > 0 ? '; ' : ''}${article(each)}`)}. `;
  })}</p>`;
}

function sectionOf(part: RecordPart, number: number, reading: Reading): Html {
  const { language, words } = reading;
  const { controller, datasets, accesses, not_kept } = part;
  const { colon } = wordsIn(language);
  return html`<section id="${part.id}">
      <h2>${number}. ${textIn(part.title, language)}</h2>
      <p>${textIn(part.sentence, language)}</p>
      ${citations(part.citations, reading)}
      ${part.to_review ? html`<p class="review">${words.review}</p>` : ''}
      ${controller ? tableOf(controller, { caption: words.of, none: '' }, reading) : ''}
      ${controller ? contactPoints(reading) : ''}
      ${datasets ? tableOf(datasets, { caption: words.datasets, none: words.no_datasets }, reading) : ''}
      ${accesses ? tableOf(accesses, { caption: words.access, none: words.no_accesses }, reading) : ''}
      ${
        not_kept.length === 0
          ? ''
          : html`<p>${words.not_kept}${colon} ${not_kept.map((text, i) => html`${i > 0 ? '; ' : ''}${textIn(text, language)} (<span class="missing">${words.not_recorded}</span>)`)}</p>`
      }
    </section>`;
}

/** Whom to ask about a dataset (DCAT), as its steward wrote it. */
function contactPoints({ record, words, language }: Reading): Html {
  const rows = record.datasets.map(
    ({ id, title, contact_point }) =>
      html`<tr><th scope="row">${textIn(title, language)}<br /><small>${id}</small></th><td>${
        contact_point === null
          ? html`<span class="missing">${words.not_recorded}</span>`
          : contactText(contact_point)
      }</td></tr>`,
  );
  return rows.length === 0
    ? html`<p class="quiet">${words.no_datasets}</p>`
    : html`<table><thead><tr><th>${words.dataset}</th><th scope="col">${words.contact}</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function contactText(contact: unknown): string {
  return isObject(contact) ? Object.values(contact).map(String).join(', ') : String(contact);
}

interface Named {
  readonly caption: string;
  readonly none: string;
}

function tableOf({ facts, rows }: Table, { caption, none }: Named, reading: Reading): Html {
  if (rows.length === 0) return html`<p class="quiet">${none}</p>`;
  const { language } = reading;
  if (facts.length > MAX_COLUMNS) {
    return html`<h3>${caption}</h3><div class="cards">${rows.map(
      ({ of, values }) => html`<article class="card">${reading.names.get(of)}
        <dl>${facts.map(({ fact, title }) => html`<div><dt>${textIn(title, language)}</dt><dd>${shown(fact, values[fact], reading)}</dd></div>`)}</dl></article>`,
    )}</div>`;
  }
  return html`<table>
        <caption>${caption}</caption>
        <thead><tr><th></th>${facts.map(({ title }) => html`<th scope="col">${textIn(title, language)}</th>`)}</tr></thead>
        <tbody>${rows.map(
          ({ of, values }) =>
            html`<tr><th scope="row">${reading.names.get(of)}</th>${facts.map(
              ({ fact }) => html`<td>${shown(fact, values[fact], reading)}</td>`,
            )}</tr>`,
        )}</tbody>
      </table>`;
}

/** What rows are about: the controller, its datasets, and those to whom access was permitted. */
function namesOf(record: ProcessingRecord, language: string, words: RecordWords): Reading['names'] {
  const { controller, datasets, accesses } = record;
  return new Map<string, Html>([
    [controller.id, html`${textIn(controller.name, language)}`],
    ...datasets.map(
      ({ id, title, status }) =>
        [
          id,
          html`${textIn(title, language)}<br /><small>${id}, ${words.status[status]}</small>`,
        ] as const,
    ),
    ...accesses.map(
      ({ id, project_title, dataset, until }) =>
        [
          id,
          html`${textIn(project_title, language)}<br /><small>${dataset}${until === null ? '' : html`, ${words.until} ${until}`}</small>`,
        ] as const,
    ),
  ]);
}

function shown(fact: string, value: unknown, { pack, language, words }: Reading): Html {
  if (value === null || value === undefined)
    return html`<span class="missing">${words.not_recorded}</span>`;
  // Names are texts in several languages where the register has them so.
  if (isObject(value) && pack.facts[fact]?.type === 'text')
    return html`${textIn(value as Texts, language)}`;
  return html`${valueTitle(pack, fact, value, language)}`;
}

/** By which decisions and events access was permitted, and the checkpoint to prove those with. */
function evidence({ record, language, words }: Reading): Html {
  return html`<section id="evidence">
      <h2>${words.evidence}</h2>
      ${
        record.accesses.length === 0
          ? html`<p class="quiet">${words.no_accesses}</p>`
          : html`<table>
        <thead><tr><th>${words.access}</th><th>${words.dataset}</th><th>${words.permitted}</th><th>${words.decision}</th><th>${words.event}</th></tr></thead>
        <tbody>${record.accesses.map(
          (each) =>
            html`<tr><td>${textIn(each.project_title, language)}</td><td>${each.dataset}</td><td>${each.permitted_at}</td><td><code>${each.decision_id}</code></td><td><code>${each.event_id}</code></td></tr>`,
        )}</tbody>
      </table>`
      }
      ${record.checkpoint ? html`<pre>${record.checkpoint.note}</pre>` : ''}
    </section>`;
}
