// Collects what the microphone gives (128 samples at a time) into blocks and posts them to the page.
const BLOCK = 2048

class PcmTap extends AudioWorkletProcessor {
  constructor() {
    super()
    this.block = new Float32Array(BLOCK)
    this.filled = 0
  }

  process(inputs) {
    const samples = inputs[0] && inputs[0][0]
    if (!samples) return true
    for (let i = 0; i < samples.length; i++) {
      this.block[this.filled++] = samples[i]
      if (this.filled < BLOCK) continue
      this.port.postMessage(this.block, [this.block.buffer])
      this.block = new Float32Array(BLOCK)
      this.filled = 0
    }
    return true
  }
}

registerProcessor('pcm-tap', PcmTap)
