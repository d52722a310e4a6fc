// Opus from WebM into Ogg: the same sound in another container, nothing is encoded again.
//
// Mediabunny does it (MPL-2.0; kept by its author, no dependencies at run time). It is loaded when
// somebody has recorded something.

export async function toOgg(recorded: Blob): Promise<Blob> {
  if (recorded.type.startsWith('audio/ogg')) return recorded
  const { BlobSource, BufferTarget, EncodedAudioPacketSource, EncodedPacketSink, Input, OggOutputFormat, Output, WEBM } = await import(
    'mediabunny'
  )
  const input = new Input({ formats: [WEBM], source: new BlobSource(recorded) })
  const track = await input.getPrimaryAudioTrack()
  const decoderConfig = await track?.getDecoderConfig()
  if (!track || !decoderConfig) throw new Error('nothing was recorded')
  const target = new BufferTarget()
  const output = new Output({ format: new OggOutputFormat(), target })
  const source = new EncodedAudioPacketSource('opus')
  output.addAudioTrack(source)
  await output.start()
  for await (const packet of new EncodedPacketSink(track).packets()) await source.add(packet, { decoderConfig })
  await output.finalize()
  return new Blob(target.buffer ? [target.buffer] : [], { type: 'audio/ogg' })
}
