import { defineComponent, h, nextTick, onMounted, ref, watch } from 'vue'

/**
 * The browser's own field. uni-app's tells of typing up to 100 ms late, so that a quick Enter would lose letters, and
 * puts names on its wrapper, where screen readers do not look for them.
 */
export default defineComponent({
  props: {
    value: { type: String, required: true },
    label: { type: String, required: true },
    hint: { type: String, required: true },
    many: { type: Boolean, default: false },
    password: { type: Boolean, default: false },
  },
  emits: { change: (text: string) => typeof text === 'string', enter: () => true },
  setup(props, { emit }) {
    const field = ref<HTMLTextAreaElement | HTMLInputElement>()

    function grow(): void {
      if (!props.many || !field.value) return
      field.value.style.height = 'auto'
      field.value.style.height = `${field.value.scrollHeight}px`
    }
    onMounted(grow)
    watch(
      () => props.value,
      () => void nextTick(grow),
    )

    return () =>
      h(props.many ? 'textarea' : 'input', {
        ref: field,
        class: 'field-text',
        value: props.value,
        'aria-label': props.label,
        placeholder: props.hint,
        enterkeyhint: 'send',
        autocomplete: 'off',
        ...(props.many ? { rows: 1 } : { type: props.password ? 'password' : 'text' }),
        onInput: (event: Event) => emit('change', (event.target as HTMLInputElement).value),
        onKeydown: (event: KeyboardEvent) => {
          if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
          event.preventDefault()
          emit('enter')
        },
      })
  },
})
