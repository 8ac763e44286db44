import {Logo} from './Icons';

// Stands in for an identity service: a user who gives a name counts as its owner.
export function Login({problem}: {problem: boolean}) {
  return (
    <main id="main" className="login">
      <Logo />
      <h1>Run tools on your own computer</h1>
      <p className="lead">This example keeps no passwords: any name will do, and it becomes the name of your computer’s agent.</p>
      <form className="card stack" action="/api/login" method="post">
        <label className="field">
          <span>Your name</span>
          <input
            name="name"
            required
            maxLength={64}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            aria-invalid={problem}
            aria-describedby="name-hint"
          />
        </label>
        <p id="name-hint" className={problem ? 'hint problem' : 'hint'} role={problem ? 'alert' : undefined}>
          Letters, digits, dots, dashes and underscores; at most 64.
        </p>
        <button className="primary">Log in</button>
      </form>
    </main>
  );
}
