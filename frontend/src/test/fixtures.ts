/** Answers as the server gives them, complete; tests say only what matters to them. */
import type {
  Bundle,
  BundleSummary,
  CheckResult,
  Config,
  Configs,
  DoesNotFit,
  Fits,
  Preflight,
  PreflightReport,
  PreflightSummary,
  ReplayJob,
  ReplayResult,
  Run,
  RunSummary,
  TrashedRun,
} from '../api/types.ts'

export const RUN_ID = '20260131-120000-abcdef'

export function aSummary(change: Partial<RunSummary> = {}): RunSummary {
  return {
    id: RUN_ID,
    name: 'tiny',
    state: 'running',
    reason: '',
    phase: 'training',
    step: 12,
    steps: 30,
    loss: 2.4123,
    exact_match: 0.25,
    learning_rate: 0.0003,
    tokens_per_second: 15_300,
    device: 'auto',
    hardware: '1 × cpu',
    config: 'training/configs/smoke_tiny.yaml',
    created_at: '2026-01-31T12:00:00.000000Z',
    started_at: '2026-01-31T12:00:01.000000Z',
    ended_at: null,
    eta_seconds: 48,
    queue_position: null,
    parameters: 86_500,
    notes: '',
    tags: ['baseline'],
    archived: false,
    bundles: [],
    alerts: [],
    spark: [5.7, 4.1, 3.3, 2.4],
    ...change,
  }
}

export function aTrashedRun(change: Partial<TrashedRun> = {}): TrashedRun {
  return {
    id: RUN_ID,
    name: 'tiny',
    config: 'training/configs/smoke_tiny.yaml',
    notes: '',
    tags: ['baseline'],
    state: 'stopped',
    step: 12,
    steps: 30,
    created_at: '2026-01-31T12:00:00.000000Z',
    deleted_at: '2026-01-31T13:00:00.000000Z',
    bytes: 3 * 2 ** 20,
    ...change,
  }
}

export function aRun(change: Partial<Run> = {}): Run {
  return {
    ...aSummary(),
    spec: { name: 'smoke_tiny', training: { steps: 30, batch_size: 8 }, optimizer: { learning_rate: 0.001 } },
    overrides: [{ key: 'training.steps', declared: 20, effective: 30 }],
    config_text: 'name: smoke_tiny\ntraining:\n  steps: 20\n',
    launch: {
      started_at: '2026-01-31T12:00:01.000000Z',
      command: ['python', '-m', 'training', 'runs/x'],
      python: '3.11.7',
      packages: ['jax==0.10.2', 'left-pad==1.0'],
      host: { os: 'Debian', kernel: '6.1', cpu_model: 'A CPU', logical_cpus: 2, memory_bytes: 2 ** 34 },
      source: {
        kind: 'git',
        commit: 'c'.repeat(40),
        changed_files: ['README.md'],
        repository: 'https://example.org/assay',
      },
    },
    devices: {
      platform: 'cpu',
      device_kind: 'cpu',
      devices: [{ id: 0 }],
      devices_used: 1,
      mesh: { data: 1 },
      layout: 'fsdp',
      process_count: 1,
      runtime: 'cpu',
    },
    model: {
      parameters: 86_500,
      trainable_parameters: 86_500,
      parameter_bytes: 346_000,
      optimizer_bytes: 692_000,
      weights: 'random',
      parameters_digest: 'd'.repeat(64),
    },
    data: {
      train: { path: 'data/train.jsonl', sha256: 'e'.repeat(64), bytes: 1 },
      train_rows: 7800,
      eval_rows: 300,
      eval_overlap_rows: 0,
      truncated_rows: 0,
      tokenizer_kind: 'byte',
      vocab_size: 259,
    },
    program: { program_sha256: 'f'.repeat(64), lowered_for: 'cpu', compile_seconds: 3.2, temporary_bytes: 2 ** 20 },
    nonce: 'a'.repeat(64),
    error: null,
    warnings: [],
    preflight: null,
    directory: '/home/someone/runs/x',
    ...change,
  }
}

const schema = {
  type: 'object',
  properties: {
    name: { type: 'string', title: 'Name' },
    device: { type: 'string', title: 'Device', enum: ['auto', 'cpu', 'gpu', 'tpu'], default: 'auto' },
    model: {
      type: 'object',
      properties: { head_dim: { type: 'integer', title: 'Head dim', description: 'Width of one head', minimum: 2 } },
    },
    training: {
      type: 'object',
      properties: {
        steps: { type: 'integer', title: 'Steps', description: 'Optimizer steps', minimum: 1, 'x-unit': 'steps' },
      },
    },
    optimizer: {
      type: 'object',
      properties: {
        learning_rate: { type: 'number', title: 'Learning rate', exclusiveMinimum: 0, maximum: 10 },
        schedule: { type: 'string', title: 'Schedule', enum: ['a', 'b', 'c', 'd', 'e'] },
      },
    },
    data: {
      type: 'object',
      properties: {
        train_path: { type: 'string', title: 'Train path', 'x-format': 'path' },
        template: { type: 'string', title: 'Template', 'x-format': 'multiline' },
        answer_field: { type: 'string', title: 'Answer field' },
      },
    },
    plan: {
      type: 'object',
      properties: {
        layers: { type: 'string', title: 'Layers', enum: ['auto', 'unrolled', 'scanned'], default: 'auto' },
      },
    },
  },
}

function aConfig(name: string, change: Partial<Config> = {}): Config {
  return {
    name,
    path: `training/configs/${name}.yaml`,
    description: `What ${name} is for.`,
    expected_duration: 'about 20 seconds',
    expected_result: 'the loss falls below 3.5',
    text: `name: ${name}\n`,
    spec: {
      name,
      device: 'auto',
      model: { head_dim: 16 },
      training: { steps: 20 },
      optimizer: { learning_rate: 0.001, schedule: 'a' },
      data: { train_path: 'training/data/x.jsonl', template: '{prompt}\n{answer}', answer_field: 'answer' },
      plan: { layers: 'auto' },
    },
    sha256: 'a'.repeat(64),
    problem: null,
    ...change,
  }
}

export const configs: Configs = {
  configs: [
    aConfig('demo_reasoning'),
    aConfig('smoke_tiny'),
    aConfig('broken', { spec: null, problem: 'broken.yaml: steps is missing' }),
  ],
  schema,
  data_roots: ['training/data'],
  data_files: [{ path: 'training/data/x.jsonl', bytes: 457_085, fields: ['prompt', 'answer'] }],
  launchers: ['local'],
}

export function aCheck(change: Partial<CheckResult> = {}): CheckResult {
  return {
    id: 'MET-01',
    family: 'metrics',
    proves: 'every step is there exactly once',
    level: 'E2',
    result: 'pass',
    severity: 'fail',
    cost: 'stdlib',
    reason: '',
    findings: [],
    ...change,
  }
}

export function aBundleSummary(change: Partial<BundleSummary> = {}): BundleSummary {
  return {
    name: 'tiny_v1',
    sentence: 'Gemma-architecture model of 86.5k parameters, 30 steps on 1 CPU device; loss 5.7 → 1.5.',
    level: 'E2',
    level_meaning: 'coherent',
    valid: true,
    outcome: 'completed',
    hardware: '1 CPU device',
    model: 'gemma',
    parameters: 86_500,
    steps: 30,
    final_loss: 1.4512,
    exact_match: 0.9967,
    finished_at: '2026-01-31T12:05:00.000000Z',
    run_id: RUN_ID,
    spark: [5.7, 3.2, 1.45],
    files: 2,
    bytes: 2048,
    origin: 'here',
    signature: { state: 'unsigned', signer: '', key_sha256: '', statements: [] },
    ...change,
  }
}

export function aReplay(change: Partial<ReplayResult> = {}): ReplayResult {
  return {
    sentence: 'Steps 401 to 450 came out the same to the bit.',
    agrees: true,
    bit_equal: true,
    from_step: 400,
    to_step: 450,
    chosen: 'drawn',
    nonce: 'my words',
    tier: 'T0',
    tier_meaning: 'the same kind of machine, runtime and program: every bit must agree',
    tier_because: 'AMD EPYC, jaxlib 0.10.2 and the program are the run’s',
    device: '1 × cpu, AMD EPYC',
    compared: [{ what: 'loss', cap: 0, found: 0, where: 'step 401', within: true, control: 0.002 }],
    control_factor: 1.01,
    control_noticed: true,
    samples: { items: 3, same: 3, ties: 0, because: '' },
    predictions: { items: 64, same: 63, ties: 1, because: '' },
    seconds: 21.4,
    made_at: '2026-02-01T10:00:00.000000Z',
    ...change,
  }
}

export function aJob(change: Partial<ReplayJob> = {}): ReplayJob {
  return {
    id: '20260201-100000-abcdef',
    bundle: 'tiny_v1',
    seal: 'e'.repeat(64),
    current: true,
    state: 'running',
    message: '',
    from_step: null,
    to_step: null,
    draw: 'my words',
    progress: { done: 10, total: 50, doing: 'step 410 of 450', time: '2026-02-01T10:00:04.000000Z' },
    queue_position: null,
    asked_at: '2026-02-01T10:00:00.000000Z',
    started_at: '2026-02-01T10:00:01.000000Z',
    ended_at: null,
    result: null,
    ...change,
  }
}

export function aBundle(change: Partial<Bundle> = {}): Bundle {
  return {
    ...aBundleSummary(),
    claims: [
      {
        id: 'loss',
        title: 'Loss',
        said: '5.7 falls to 1.45',
        verdict: 'holds',
        proofs: [{ file: 'metrics.jsonl', checks: ['MET-01'] }],
        recomputed: 'from the rows',
        unproven_because: '',
      },
      {
        id: 'model',
        title: 'Model',
        said: '86,500 parameters',
        verdict: 'unproven',
        proofs: [],
        recomputed: 'counted',
        unproven_because: 'the leaves are not there',
      },
    ],
    results: [aCheck(), aCheck({ id: 'TIM-01', family: 'timing', result: 'not-run', reason: 'no clock' })],
    gaps: ['E3 needs the source snapshot.'],
    limits: ['Whether the experiment is good science is not checked.'],
    contents: [
      { path: 'metrics.jsonl', sha256: 'a'.repeat(64), bytes: 1024 },
      { path: 'logs/session.log', sha256: 'b'.repeat(64), bytes: 1024 },
    ],
    curve: { step: [1, 2, 3], columns: { loss: [5.7, 3.2, 1.45] } },
    log_excerpt: [{ number: 7, text: 'step 1 loss 5.7' }],
    samples: [],
    predictions: [
      { id: 1, prompt: '1+1=?', expected: '#### 2', text: '#### 2', correct: true },
      { id: 2, prompt: '2+2=?', expected: '#### 4', text: '#### 5', correct: false },
    ],
    manifest: {},
    eval_summary: {},
    verify_commands: ['python -m evidence verify submission_runs/tiny_v1'],
    ...change,
  }
}

export const PREFLIGHT_ID = '20260131-110000-abcdef'
const GIB = 2 ** 30

export const topologies = [
  { name: 'v3-8', device_kind: 'TPU v3', devices: 8, memory_bytes: 16 * GIB },
  { name: 'v5e-8', device_kind: 'TPU v5 lite', devices: 8, memory_bytes: 16 * GIB },
]

export function aFit(change: Partial<Fits> = {}): Fits {
  return {
    kind: 'fits',
    plan: { layout: 'fsdp', remat: 'none', layers: 'unrolled', loss_chunk_tokens: 512 },
    batch_size: 8,
    gradient_accumulation: 1,
    memory: {
      peak: 5.5 * GIB,
      limit: 15.75 * GIB,
      parameters: 1.25 * GIB,
      optimizer: 2.5 * GIB,
      other_arguments: 4096,
      temporaries: 1.75 * GIB,
      program_code: 2 ** 20,
    },
    estimate: {
      kind: 'estimated',
      compute_seconds: 0.0652,
      communication_seconds: 0.0249,
      step_seconds_at_least: 0.0652,
      step_seconds_at_most: 0.0901,
      model_flops_utilization_at_most: 0.61,
    },
    model_flops_per_step: 6.2e13,
    compiler_flops_per_step: 6.8e13,
    received_bytes: [{ collective: 'all-gather', bytes: 2 * GIB, count: 36 }],
    program_sha256: '9'.repeat(64),
    compile_seconds: 74,
    ...change,
  }
}

export function aMisfit(change: Partial<DoesNotFit> = {}): DoesNotFit {
  return {
    kind: 'does_not_fit',
    plan: { layout: 'replicated', remat: 'none', layers: 'unrolled', loss_chunk_tokens: 0 },
    batch_size: 8,
    gradient_accumulation: 1,
    needed_bytes: 31.8 * GIB,
    limit_bytes: 15.75 * GIB,
    message: 'RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Used 31.80G of 15.75G hbm.',
    compile_seconds: 9,
    ...change,
  }
}

export function aReport(change: Partial<PreflightReport> = {}): PreflightReport {
  return {
    schema: 'assay/preflight@1',
    key: '8'.repeat(64),
    config: 'training/configs/smoke_tiny.yaml',
    created_at: '2026-01-31T11:02:00.000000Z',
    seconds: 84,
    fits: true,
    verdict: 'Fits on v5e-8 (8 × TPU v5 lite): 5.50 of 15.75 GiB per device, 35 %.',
    program: { 'training.batch_size': 8 },
    target: {
      name: 'v5e-8',
      device_kind: 'TPU v5 lite',
      devices: 8,
      memory_bytes: 16 * GIB,
      peak_flops: 197e12,
      clock_hz: 1.5e9,
      received_bytes_per_second: 1e11,
    },
    versions: { jax: '0.10.2', libtpu: '0.0.41' },
    plans: [aFit()],
    chosen: 0,
    advice: [],
    largest: { kind: 'not_asked' },
    compute_method: 'cycles of every instruction ÷ the clock',
    communication_method: 'bytes received ÷ what a device can receive',
    interval_method: 'between the larger of the two and their sum',
    ...change,
  }
}

export function aPreflightSummary(change: Partial<PreflightSummary> = {}): PreflightSummary {
  return {
    id: PREFLIGHT_ID,
    state: 'done',
    reason: '',
    name: 'smoke_tiny',
    config: 'training/configs/smoke_tiny.yaml',
    topology: 'v5e-8',
    search: false,
    largest: false,
    batch_size: 8,
    sequence_length: 512,
    created_at: '2026-01-31T11:00:00.000000Z',
    started_at: '2026-01-31T11:00:01.000000Z',
    ended_at: '2026-01-31T11:02:00.000000Z',
    queue_position: null,
    progress: { time: '2026-01-31T11:02:00Z', done: 1, total: 1, doing: 'compiling fsdp, unrolled' },
    fits: true,
    verdict: 'Fits on v5e-8 (8 × TPU v5 lite): 5.50 of 15.75 GiB per device, 35 %.',
    peak_bytes: 5.5 * GIB,
    limit_bytes: 15.75 * GIB,
    ...change,
  }
}

export function aPreflight(change: Partial<Preflight> = {}): Preflight {
  return {
    ...aPreflightSummary(),
    spec: {
      name: 'smoke_tiny',
      device: 'auto',
      model: { head_dim: 16 },
      training: { steps: 50 },
      optimizer: { learning_rate: 0.001, schedule: 'a' },
      data: { train_path: 'training/data/x.jsonl', template: '{prompt}\n{answer}', answer_field: 'answer' },
      plan: { layers: 'auto' },
    },
    report: aReport(),
    cached: false,
    ...change,
  }
}

/** A preflight that has no answer: it waits, compiles, failed or was cancelled. */
export function anOpenPreflight(
  state: Exclude<Preflight['state'], 'done'>,
  change: Partial<Preflight> = {},
): Preflight {
  const nothing = { report: null, fits: null, verdict: null, peak_bytes: null, limit_bytes: null, ended_at: null }
  return aPreflight({ state, ...nothing, ...change })
}
