/** A drawing context that takes every call and draws nothing: test environments have no canvas. */
const nothing: Record<string | symbol, unknown> = { measureText: () => ({ width: 10 }) }

export const blankContext = new Proxy(nothing, {
  get: (target, name) => (name in target ? target[name] : () => undefined),
  set: () => true,
})

export class BlankPath {
  addPath() {}
  arc() {}
  bezierCurveTo() {}
  closePath() {}
  lineTo() {}
  moveTo() {}
  rect() {}
}
