/** Answers as the server gives them, complete; tests say only what matters to them. */
import type { Bundle, BundleSummary, CheckResult, Config, Configs, Run, RunSummary } from '../api/types.ts'

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
    bundles: [],
    spark: [5.7, 4.1, 3.3, 2.4],
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
    plan: { type: 'object', properties: { layers: { type: 'string', title: 'Layers', enum: ['auto', 'unrolled', 'scanned'], default: 'auto' } } },
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
}

export function aCheck(change: Partial<CheckResult> = {}): CheckResult {
  return {
    id: 'MET-01',
    family: 'metrics',
    proves: 'every step is there exactly once',
    level: 'E2',
    result: 'pass',
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
    sealed_at: '2026-01-31T12:05:00.000000Z',
    run_id: RUN_ID,
    spark: [5.7, 3.2, 1.45],
    files: 2,
    bytes: 2048,
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
