/** Asks for the token. It stays in this tab's session storage and goes out in the Authorization header alone. */
import { useState } from 'preact/hooks'
import { type Api, ApiError, wordsOf } from './api.ts'
import { Notice } from './parts.tsx'

export function SignIn(props: { api: Api; wasRefused: boolean; onDone: () => void }) {
  const [token, setToken] = useState('')
  const [isBusy, setBusy] = useState(false)
  const [problem, setProblem] = useState<string | undefined>(
    props.wasRefused ? 'The gateway does not take this token any more.' : undefined,
  )
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    const { api } = props
    api.keep(token.trim())
    try {
      await api.get('status')
      props.onDone()
    } catch (error) {
      api.keep(undefined)
      if (error instanceof ApiError && error.status === 401) {
        setProblem('This is not the token of this gateway.')
      } else if (error instanceof ApiError && error.status === 429) {
        setProblem(`Too many wrong tokens. Try again in ${error.retryAfter} seconds.`)
      } else setProblem(wordsOf(error))
      setBusy(false)
    }
  }
  return (
    <main class="gate">
      <form class="card" onSubmit={(event) => void submit(event)}>
        <img src="icon.svg" alt="" width="40" height="40" />
        <h1>Meridian</h1>
        <p class="about">
          This gateway's control port wants a token: the one that <code>admin.token</code> of its
          config names. The demo prints its own.
        </p>
        <label class="field">
          <span>Token</span>
          <input
            type="password"
            value={token}
            autocomplete="off"
            spellcheck={false}
            required
            aria-invalid={problem !== undefined}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
          <small>Kept for this tab only; closing it signs out.</small>
        </label>
        {problem !== undefined && <Notice kind="bad">{problem}</Notice>}
        <button type="submit" class="primary" disabled={isBusy || token.trim() === ''}>
          {isBusy ? 'Checking…' : 'Sign in'}
        </button>
      </form>
    </main>
  )
}
