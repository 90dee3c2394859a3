// A band over the candles for the time in which a position is force-held. A series primitive of lightweight-charts.

export class HoldWindow {
  constructor() {
    this.span = null;
    const renderer = { draw: (target) => target.useBitmapCoordinateSpace((scope) => this._draw(scope)) };
    this._views = [{ renderer: () => renderer, zOrder: () => "bottom" }];
  }

  attached({ chart, series, requestUpdate }) {
    Object.assign(this, { _chart: chart, _series: series, _update: requestUpdate });
  }

  detached() {
    this._chart = null;
  }

  paneViews() {
    return this._views;
  }

  /** `span` in seconds, [begin, end], or null for none. */
  show(span, colour) {
    if (String(span) === String(this.span) && colour === this._colour) return;
    [this.span, this._colour] = [span, colour];
    this._update?.();
  }

  _draw({ context, bitmapSize, horizontalPixelRatio }) {
    if (!this.span || !this._chart) return;
    const [from, to] = this.span.map((time) => this.x(time) * horizontalPixelRatio);
    context.fillStyle = `${this._colour}22`;
    context.fillRect(from, 0, to - from, bitmapSize.height);
    context.fillStyle = this._colour;
    context.fillRect(to, 0, Math.max(1, horizontalPixelRatio), bitmapSize.height);
  }

  /** Also of a time after the last bar, which the chart itself has no place for. */
  x(time) {
    const bars = this._series.data();
    if (bars.length === 0) return 0;
    const last = bars.length - 1;
    const step = last > 0 ? bars[last].time - bars[last - 1].time : 60;
    const logical = last + (time - bars[last].time) / step;
    const [whole, scale] = [Math.floor(logical), this._chart.timeScale()];
    const [left, right] = [scale.logicalToCoordinate(whole), scale.logicalToCoordinate(whole + 1)]; // of whole ones only
    return left + (right - left) * (logical - whole);
  }
}
