/** What went wrong, for the eyes and for screen readers; nothing while there is no error. */
export function ErrorMessage({ error }: { error: Error | null | undefined }) {
  if (!error) return null
  // `fetch` rejects with a TypeError if there is no response.
  const text = error instanceof TypeError ? "The server cannot be reached. Check your connection." : error.message
  return (
    <p role="alert" className="error">
      {text}
    </p>
  )
}
