// A voice message while it is spoken: the browser records Opus, and we put it into Ogg.
//
// Elsewhere: what it looks like is `components/Recorder.svelte`; the waveform of a message that is
// sent comes from the engine.
// Always: the microphone is off as soon as the recording ends, however it ends.

import { toOgg } from './ogg'

/** What browsers record Opus into: Firefox into Ogg, the others into WebM. */
const CONTAINERS = ['audio/ogg;codecs=opus', 'audio/webm;codecs=opus']
const BITS_PER_SECOND = 32_000

function container(): string | undefined {
  if (!('MediaRecorder' in window)) return undefined
  return CONTAINERS.find((type) => MediaRecorder.isTypeSupported(type))
}

/** Whether this browser can record voice messages. */
export function canRecord(): boolean {
  return container() !== undefined && 'mediaDevices' in navigator
}

export class Recording {
  readonly began = Date.now()
  private readonly parts: Blob[] = []
  private readonly samples: Uint8Array<ArrayBuffer>

  private constructor(
    private readonly stream: MediaStream,
    private readonly recorder: MediaRecorder,
    private readonly context: AudioContext,
    private readonly analyser: AnalyserNode,
  ) {
    this.samples = new Uint8Array(analyser.fftSize)
    recorder.ondataavailable = (event) => this.parts.push(event.data)
    recorder.start(1000)
  }

  /** Fails where there is no microphone, or the person does not allow it. */
  static async start(): Promise<Recording> {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, channelCount: 1 },
    })
    const recorder = new MediaRecorder(stream, { mimeType: container(), audioBitsPerSecond: BITS_PER_SECOND })
    const context = new AudioContext()
    const analyser = context.createAnalyser()
    analyser.fftSize = 512
    context.createMediaStreamSource(stream).connect(analyser)
    return new Recording(stream, recorder, context, analyser)
  }

  /** How loud it is now, from 0 to 1. */
  level(): number {
    this.analyser.getByteTimeDomainData(this.samples)
    let most = 0
    for (const sample of this.samples) most = Math.max(most, Math.abs(sample - 128))
    return Math.min(1, (most / 128) * 1.6)
  }

  /** The file to send. */
  async finish(): Promise<File> {
    const ended = new Promise((resolve) => (this.recorder.onstop = resolve))
    this.recorder.stop()
    await ended
    this.off()
    const ogg = await toOgg(new Blob(this.parts, { type: this.recorder.mimeType }))
    return new File([ogg], 'voice.ogg', { type: 'audio/ogg' })
  }

  discard(): void {
    if (this.recorder.state !== 'inactive') this.recorder.stop()
    this.off()
  }

  private off(): void {
    for (const track of this.stream.getTracks()) track.stop()
    if (this.context.state !== 'closed') void this.context.close()
  }
}
