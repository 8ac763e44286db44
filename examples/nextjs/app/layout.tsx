import type {Metadata, Viewport} from 'next';
import type {ReactNode} from 'react';
import './globals.css';

export const metadata: Metadata = {
  title: 'Toolwire example',
  description: 'Run tools on your own computer, from the web',
};

export const viewport: Viewport = {
  width: 'device-width',
  initialScale: 1,
  themeColor: [
    {media: '(prefers-color-scheme: light)', color: '#f7f6f3'},
    {media: '(prefers-color-scheme: dark)', color: '#141513'},
  ],
};

export default function Layout({children}: {children: ReactNode}) {
  return (
    <html lang="en">
      <body>
        <a className="skip" href="#main">
          Skip to the content
        </a>
        {children}
      </body>
    </html>
  );
}
