/**
 * An administrator invites somebody in the browser; the other one chooses a password by the link, gets a limit, and is locked out.
 * Then the administrator changes the own password.
 *
 *   node people.mjs BASE EMAIL PASSWORD INVITED
 */
import { require as must, run, say, signIn, visit } from './harness.mjs';

const [base, email, password, invited] = process.argv.slice(2);

await run(async (browser) => {
  const admin = await visit(browser, base);
  const page = admin.page;
  await signIn(page, email, password);
  await page.getByRole('link', { name: 'Server' }).click();
  await page.getByRole('button', { name: 'Invite' }).click();
  await page.getByLabel('E-mail').fill(invited);
  await page.getByLabel('Name', { exact: true }).fill('Eve');
  await page.getByRole('radio', { name: 'Member', exact: false }).check();
  await page.getByRole('button', { name: 'Make the link' }).click();
  const link = await page.getByLabel('Link', { exact: true }).inputValue();
  must(link.includes('/invitation#psl_'), link);
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
  await page.getByText('No password yet').waitFor();
  say({ step: 'invited' });

  const other = await visit(browser, base);
  // From here the server's other addresses may not be reachable: the path is what counts.
  await other.page.goto(`${base}/${link.split('/').slice(3).join('/')}`);
  await other.page.getByRole('heading', { name: 'Welcome' }).waitFor();
  await other.page.getByText(invited).waitFor();
  await other.page.getByLabel('New password').fill(password);
  await other.page.getByRole('button', { name: 'Set password and sign in' }).click();
  await other.page.getByRole('navigation', { name: 'Main' }).first().waitFor();
  must((await other.page.getByRole('link', { name: 'Server' }).count()) === 0, 'a member sees no pages about the server');
  say({ step: 'chose a password' });

  await page.reload();
  await page.getByRole('button', { name: 'What to do with Eve' }).click();
  await page.getByRole('menuitem', { name: 'Edit' }).click();
  await page.getByLabel('Storage limit in GB').fill('1,5');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('of 1.5 GB').waitFor();
  await other.page.goto('/');
  await other.page.getByText('of 1.5 GB used').first().waitFor();
  say({ step: 'limited' });

  await page.getByRole('button', { name: 'What to do with Eve' }).click();
  await page.getByRole('menuitem', { name: 'Lock', exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Lock', exact: true }).click();
  await page.getByText('Locked', { exact: true }).waitFor();
  await other.page.goto('/albums');
  await other.page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await other.page.getByLabel('E-mail').fill(invited);
  await other.page.getByLabel('Password', { exact: true }).fill(password);
  await other.page.getByRole('button', { name: 'Sign in' }).click();
  await other.page.getByRole('alert').waitFor();
  say({ step: 'locked out' });

  await page.goto('/account');
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByLabel('Password so far').fill('not this one');
  await page.getByLabel('New password').fill('a longer one than before');
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByText('is not right').waitFor();
  await page.getByLabel('Password so far').fill(password);
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByText('The new password holds').waitFor();
  // The page goes on with its new word.
  await page.getByLabel('Your name').fill('Ada');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved').waitFor();
  for (const { wrong } of [admin, other]) must(wrong.length === 0, wrong.join('\n'));
  say({ step: 'nothing went wrong' });
});
