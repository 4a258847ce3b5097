/** The words of the page of a record of processing; everything else on it is the pack's. */
export interface RecordWords {
  readonly of: string;
  readonly taken: string;
  readonly checkpoint: string;
  readonly no_checkpoint: string;
  readonly pack: string;
  readonly not_reviewed: string;
  readonly reviewed_by: string;
  readonly rests_on: string;
  readonly review: string;
  readonly not_recorded: string;
  readonly not_kept: string;
  readonly no_datasets: string;
  readonly no_accesses: string;
  readonly dataset: string;
  readonly contact: string;
  readonly datasets: string;
  readonly access: string;
  readonly until: string;
  readonly permitted: string;
  readonly evidence: string;
  readonly decision: string;
  readonly event: string;
  readonly status: Readonly<Record<'draft' | 'active' | 'retired', string>>;
}

const EN: RecordWords = {
  of: 'Controller',
  taken: 'Taken',
  checkpoint: 'Checkpoint of the log: {size} entries',
  no_checkpoint: 'The log had no checkpoint yet.',
  pack: 'Policy pack',
  not_reviewed:
    'No lawyer of the country has reviewed the pack that this record rests on. What is cited with less than high confidence is to be reviewed before it is relied on.',
  reviewed_by: 'Reviewed by',
  rests_on: 'Rests on',
  review: 'To be reviewed: not all of these citations were read with high confidence.',
  not_recorded: 'not recorded',
  not_kept: 'Wanted, and kept in no register of this service',
  no_datasets: 'No dataset is recorded.',
  no_accesses: 'No access was permitted.',
  dataset: 'Dataset',
  contact: 'Contact point',
  datasets: 'Datasets',
  access: 'Access permitted to',
  until: 'until',
  permitted: 'Permitted',
  evidence: 'Evidence',
  decision: 'Decision',
  event: 'Event',
  status: { draft: 'draft', active: 'active', retired: 'retired' },
};

const FR: RecordWords = {
  of: 'Responsable du traitement',
  taken: 'Établi le',
  checkpoint: 'Point de contrôle du journal : {size} entrées',
  no_checkpoint: "Le journal n'avait pas encore de point de contrôle.",
  pack: 'Recueil de politiques',
  not_reviewed:
    "Aucun juriste du pays n'a relu le recueil sur lequel ce registre repose. Ce qui est cité avec une confiance moins qu'élevée est à vérifier avant de s'y fier.",
  reviewed_by: 'Relu par',
  rests_on: 'Fondement',
  review: "À vérifier : la confiance n'est pas élevée pour chacune de ces citations.",
  not_recorded: 'non enregistré',
  not_kept: 'Demandé, et tenu dans aucun registre de ce service',
  no_datasets: "Aucun jeu de données n'est enregistré.",
  no_accesses: "Aucun accès n'a été permis.",
  dataset: 'Jeu de données',
  contact: 'Point de contact',
  datasets: 'Jeux de données',
  access: 'Accès permis à',
  until: "jusqu'au",
  permitted: 'Permis le',
  evidence: 'Preuves',
  decision: 'Décision',
  event: 'Événement',
  status: { draft: 'brouillon', active: 'actif', retired: 'retiré' },
};

const WORDS: ReadonlyMap<string, RecordWords> = new Map([
  ['en', EN],
  ['fr', FR],
]);

/** English for a language that has no words here. */
export function recordWords(language: string): {
  readonly words: RecordWords;
  readonly lang: string;
} {
  const words = WORDS.get(language);
  return words ? { words, lang: language } : { words: EN, lang: 'en' };
}
