import { readFile } from 'node:fs/promises';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { EXPORT_FORMS } from '../audit/export-forms.ts';
import { type Config, readConfig } from '../config.ts';
import { demoToken } from '../demo.ts';
import { type Role, ROLES } from '../principal.ts';
import { runDatabasePrepare } from './database-prepare.ts';
import { runDecisionReplay } from './decision-replay.ts';
import { type LogExportOptions, runLogExport } from './log-export.ts';
import { runLogMirror } from './log-mirror.ts';
import { type LogVerifyOptions, runLogVerify } from './log-verify.ts';
import { runPolicyCheck } from './policy-check.ts';
import { runPolicyCompare } from './policy-compare.ts';
import { runPolicyDiff, runPolicyRender } from './policy-diff.ts';
import { runPolicyExport, runPolicyImport } from './policy-odrl.ts';
import { runPolicyTest } from './policy-test.ts';

/** One run: the settings it was given, and the exit code that its command leaves. */
interface Run {
  readonly env: NodeJS.ProcessEnv;
  code: number;
}

/**
 * Runs a command of `umutungo` as it is written in a shell (`['policy', 'check']`) and returns the
 * exit code: the command's own, 0 after help, 2 for words or settings that are wrong.
 */
export async function runCommand(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const run: Run = { env, code: 0 };
  const program = new Command('umutungo')
    .description(
      "The catalogue and the gate of a nation's data. Settings are environment variables; see README.md.",
    )
    .showHelpAfterError()
    .exitOverride();
  addToken(program, run);
  addPolicy(program, run);
  addLog(program, run);
  addDecision(program, run);
  try {
    await program.parseAsync(args, { from: 'user' });
    return run.code;
  } catch (error) {
    // Commander has said by itself what was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    console.error(error instanceof Error ? error.message : error);
    return 2;
  }
}

interface TokenOptions {
  readonly role: Role;
  readonly organisation?: string;
  readonly project?: readonly string[];
  readonly subject?: string;
}

function addToken(program: Command, { env }: Run): void {
  program
    .command('token')
    .description('print a token of the demo issuer, valid for 12 hours (demo mode only)')
    .addOption(
      new Option('--role <role>', 'whose rights it carries')
        .choices([...ROLES])
        .makeOptionMandatory(),
    )
    .option('--organisation <id>', 'for whom a steward, partner or holder acts', slug)
    .option(
      '--project <id...>',
      "a partner's projects",
      (id: string, before: string[] | undefined) => [...(before ?? []), slug(id)],
    )
    .option('--subject <name>', 'who it is')
    .action(async ({ role, organisation, project, subject }: TokenOptions) => {
      const config = readConfig(env, new Date());
      if (!config.demo)
        throw new Error(
          'The demo issuer exists in demo mode only: tokens come from your own issuer.',
        );
      const claims = { organisation, projects: project, subject };
      console.log(await demoToken(config.dataDir, role, claims));
    });
}

function addPolicy(program: Command, run: Run): void {
  program
    .command('database')
    .description('the database, from the shell')
    .command('prepare')
    .description(
      "bring it to this release's schema as its owner (DATABASE_URL), for a service that connects as a member of umutungo_service",
    )
    .action(async () => {
      const { databaseUrl } = readConfig({ ...run.env, DEMO: 'on' }, new Date());
      run.code = await runDatabasePrepare(databaseUrl);
    });
  const policy = program.command('policy').description('policies, from the shell');
  const packDir = (): string =>
    readConfig({ ...run.env, DATABASE_URL: '', DEMO: '' }, new Date()).packDir;
  const language = new Option('--language <code>', 'of the texts; English where one is not there')
    .default('en')
    .argParser((text: string) => {
      if (/^[a-z]{2,3}$/.test(text)) return text;
      throw new InvalidArgumentError('a language is two or three letters, such as fr.');
    });
  policy
    .command('check')
    .description(
      'find mistakes: rules that never apply, always deny, are shadowed or contradict each other; and decide the cases beside each file (NAME.cases.yaml)',
    )
    .argument('[file...]', 'policies; the pack itself if there are none')
    .action(async (files: string[]) => {
      run.code = await runPolicyCheck(packDir(), files);
    });
  policy
    .command('test')
    .description(
      'decide the cases in scenario files with the policies in policies/, without server or database',
    )
    .argument('<file...>', 'scenario files (JSON or YAML)')
    .option('--policy <file...>', "policies beside the pack's, or new versions of its own")
    .option('--quiet', 'only failed cases and the sum')
    .action(async (files: string[], options: { policy?: string[]; quiet?: boolean }) => {
      const { policy: policies = [], quiet = false } = options;
      run.code = await runPolicyTest(files, { packDir: packDir(), policies, quiet });
    });
  policy
    .command('render')
    .description('print a policy in plain language')
    .argument('<file>', 'a policy')
    .addOption(language)
    .action(async (file: string, options: { language: string }) => {
      run.code = await runPolicyRender(packDir(), file, options.language);
    });
  policy
    .command('diff')
    .description(
      'print what a version changes: its rules, and the cases that are decided otherwise',
    )
    .argument('<old>', 'the version before')
    .argument('<new>', 'the version after')
    .option('--cases <file...>', 'scenario files to decide by both')
    .addOption(language)
    .action(
      async (before: string, after: string, options: { cases?: string[]; language: string }) => {
        const { cases = [] } = options;
        run.code = await runPolicyDiff(before, after, { ...options, packDir: packDir(), cases });
      },
    );
  addOdrl(policy, run, packDir);
}

interface OdrlOptions {
  readonly format?: 'jsonld' | 'turtle';
  readonly profile: 'national' | 'space';
  readonly bind?: readonly string[];
  readonly owner?: string;
  readonly from?: string;
}

function addOdrl(policy: Command, run: Run, packDir: () => string): void {
  const format = (): Option =>
    new Option('--format <format>', 'of the ODRL text').choices(['jsonld', 'turtle']);
  policy
    .command('export')
    .description('print a policy as ODRL 2.2 with DPV terms; docs/odrl-profile.md')
    .argument('<file>', 'a policy')
    .addOption(format().default('jsonld'))
    .action(async (file: string, options: { format: 'jsonld' | 'turtle' }) => {
      run.code = await runPolicyExport(packDir(), file, options.format);
    });
  policy
    .command('compare')
    .description('print how two policies, ours or ODRL, relate, with a request that shows it')
    .argument('<a>', 'a policy')
    .argument('<b>', 'another')
    .action(async (a: string, b: string) => {
      run.code = await runPolicyCompare(packDir(), a, b);
    });
  policy
    .command('import')
    .description('print an ODRL 2.2 policy as a policy document, or what has no meaning here')
    .argument('<file>', 'a policy in JSON-LD, or in Turtle (.ttl)')
    .addOption(format())
    .addOption(
      new Option('--profile <profile>', 'whose facts it reads')
        .choices(['national', 'space'])
        .default('national'),
    )
    .option('--bind <iri=value...>', 'what an IRI stands for, such as a dataset or a placeholder')
    .option('--owner <id>', 'the organisation whose datasets it is about', slug)
    .option('--from <date>', 'the first day on which it is in force; today if not given')
    .action(async (file: string, options: OdrlOptions) => {
      run.code = await runPolicyImport(file, {
        packDir: packDir(),
        format: options.format ?? (file.endsWith('.ttl') ? 'turtle' : 'jsonld'),
        profile: options.profile,
        bindings: bindingsOf(options.bind ?? []),
        owner: options.owner,
        from: options.from ?? new Date().toISOString().slice(0, 10),
      });
    });
}

function bindingsOf(words: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    words.map((word) => {
      // An IRI may have a "=" in it, a value has none.
      const at = word.lastIndexOf('=');
      if (at < 1) throw new InvalidArgumentError(`"${word}" is no IRI=VALUE.`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

function addLog(program: Command, run: Run): void {
  const log = program.command('log').description('the transparency log');
  const many = (file: string, before: string[] | undefined): string[] => [...(before ?? []), file];
  const token = new Option('--token <token>', "an auditor's token, or a file with it");
  log
    .command('verify')
    .description(
      'recompute every hash, the root and the checkpoints of a log: of a folder or URL in tlog-tiles form, or of the database',
    )
    .argument('[from]', 'a folder, or a URL such as https://data.example.org/log')
    .option('--vkey <key>', "the log's verifier keys, or a file with them, that you have kept")
    .option('--policy <file>', "a tlog-policy that you have kept: the log's keys, and witnesses")
    .option(
      '--checkpoint <file>',
      'a checkpoint that you have kept: proves that the log still extends it; more than once',
      many,
    )
    .addOption(token)
    .option('--json', 'the whole report')
    .action(async (from: string | undefined, options: LogVerifyOptions) => {
      run.code = await runLogVerify(() => readerConfig(run), from, await withToken(options));
    });
  log
    .command('export')
    .description(
      'fetch events with their proofs, and the verifier, into a file; goes on with what was broken off. Other forms than JSONL are made from it, which stays beside them as FILE.jsonl',
    )
    .argument('<api>', 'where the service is, such as https://data.example.org')
    .requiredOption('--out <file>', 'where to; FILE.part until it is whole')
    .addOption(
      new Option('--format <format>', 'of the file')
        .choices(Object.keys(EXPORT_FORMS))
        .default('jsonl'),
    )
    .option('--filter <name=value>', 'a parameter of /v1/audit/export; more than once', many)
    .addOption(token)
    .action(async (api: string, options: LogExportOptions) => {
      run.code = await runLogExport(api, await withToken(options));
    });
  log
    .command('mirror')
    .description('copy a published log into a folder, or what is new of it')
    .argument('<url>', 'what the checkpoint and the tiles are under')
    .argument('<folder>', 'the copy')
    .addOption(token)
    .action(async (url: string, folder: string, options: { token?: string }) => {
      run.code = await runLogMirror(url, folder, await withToken(options));
    });
}

/** A JWT has no slash and begins like JSON in base64; anything else is a file. */
async function withToken<T extends { readonly token?: string }>(options: T): Promise<T> {
  const { token } = options;
  if (token === undefined || /^ey[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) return options;
  return { ...options, token: (await readFile(token, 'utf8')).trim() };
}

function addDecision(program: Command, run: Run): void {
  program
    .command('decision')
    .description('stored decisions')
    .command('replay')
    .description('decide a stored decision again from the policy versions and facts that it names')
    .argument('<id>', 'the id of the decision')
    .option('--json', 'the whole report')
    .action(async (id: string, options: { json?: boolean }) => {
      run.code = await runDecisionReplay(readerConfig(run), id, options);
    });
}

/** What reading the database takes: whose tokens are accepted does not matter. */
function readerConfig({ env }: Run): Config {
  return readConfig({ ...env, DEMO: 'on', HOST: '' }, new Date());
}

function slug(text: string): string {
  if (/^[a-z0-9][a-z0-9_-]{0,99}$/.test(text)) return text;
  throw new InvalidArgumentError('an id has lower-case letters, digits, "-" and "_".');
}
